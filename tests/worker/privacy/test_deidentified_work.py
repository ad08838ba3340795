"""De-identification: identifiers do not reach the network, and no surrogate is stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from commands import Notemill
from hypothesis import example, given
from hypothesis import strategies as st
from making import submit
from servers import LlamaServer, http_settings

from models.answers import SearchAnswer, SummaryAnswer, Task
from models.documents import Document
from models.jobs import Job, Question, Work
from models.labels import load_labels
from models.outcomes import Failed, Finished, Outcome, Reason
from models.queries.patient_names import patient_names_of
from models.store.answer_validation import validate_answer
from models.store.store import Store
from resilience.fuzz.answer_fuzzing import QUESTIONS, task_config
from resilience.fuzz.random_engine import RandomEngine
from training.evaluation.deidentification_evaluation import count_detections, sentences_file
from worker.engine.api import GenerateRequest, GenerateResult, Reply, Request
from worker.engine.http.http_client import ServerClient
from worker.engine.http.http_engine import load
from worker.pipeline import process
from worker.privacy.surrogates import Surrogates
from worker.recipe import serving
from worker.weights.task_config import task_config as served_task_config

pytest_plugins = ("commands", "servers")
NOTE = (
    "Patient: Margaret Odell, MRN 00482913. Seen on 03/14/2023 by Dr. Lindqvist.\n"
    "Mrs. Odell is a 94-year-old woman with chest pain. She was given aspirin 81 mg.\n"
    "Her daughter Rosa can be reached at 312-555-0184. Odell denies fever.\n"
)
NAMES = ("Margaret", "Odell", "00482913", "03/14", "Lindqvist", "94", "Rosa", "312-555-0184")
LABELS = load_labels(None)


class RecordingEngine(RandomEngine):
    """Answers at random, or with given sentences, and records its requests."""

    def __init__(self, seed: int = 1, sentence_for: Callable[[str], str] | None = None) -> None:
        super().__init__(seed, ["none"])
        self.requests: list[Request] = []
        self._sentence_for, self._title = sentence_for, lambda _shown: "Chest pain"

    def answer(self, requests: Sequence[Request], *, is_urgent: bool = False) -> list[Reply]:
        self.requests += requests
        if self._sentence_for is None:
            return super().answer(requests)
        return [self._scripted_reply(request) for request in requests]

    def _scripted_reply(self, request: Request) -> Reply:
        assert isinstance(request, GenerateRequest)
        text_for = self._title if request.prompt.answer_start else self._sentence_for
        return GenerateResult(text_for(request.prompt.document), True, 1, 1)


def work_on(text: str = NOTE, query: str = "Does Odell or Mr. Pemberton have pain?") -> Work:
    questions = (QUESTIONS[0], Question(task=Task.SEARCH, parameters={"query": query}), QUESTIONS[2])
    jobs = (
        Job(id=n, question=question, recipe_id="", labels=LABELS, attempt=1)
        for n, question in enumerate(questions)
    )
    return Work(document_id=1, text=text, jobs=tuple(jobs))


def outcomes_by_task(engine: Any, work: Work, *, is_tagged: bool = False, **more: Any) -> dict[Task, Outcome]:
    config = task_config(is_tagged=is_tagged, is_extractive=is_tagged, is_deidentified=True)
    job_outcomes = [
        job_outcome for batch in process(work, engine=engine, config=config, **more) for job_outcome in batch
    ]
    return {job.question.task: outcome for job, outcome in job_outcomes}


def sent(engine: RecordingEngine) -> str:
    """Returns everything that the engine was sent, including the texts in grammars."""
    return "\n".join(map(repr, engine.requests))


@pytest.mark.parametrize(("name", "recall", "precision"), [("first", 0.9, 0.95), ("second", 0.8, 0.95)])
def test_detection_reaches_the_documented_recall(name: str, recall: float, precision: float) -> None:
    figures = count_detections(sentences_file(name)).figures()
    assert figures["recall"] >= recall
    assert figures["precision"] >= precision
    assert (
        f"{figures['recall']:.0%}".replace("%", " %")
        in (Path(__file__).parents[3] / "docs" / "guides" / "privacy-officer.md").read_text()
    )


@given(
    text=st.lists(
        st.sampled_from(
            [NOTE, "Dr. Ng", "MRN 12345", "03/14/2023", " ", "\n", "is 95 yo", "Mr. X", "ß", "😀"]
        )
        | st.text(max_size=8),
        max_size=12,
    ).map("".join)
)
@example(text="Dr. İstanbul MRN İ12345, Dr. STRASSE, Dr. Straße")
@example(text=f"{NOTE}Mr. Xis 95 yo Dr. Ng")
def test_a_deidentified_text_is_as_long_as_the_note_and_any_part_is_reidentified_exactly(text: str) -> None:
    surrogates = Surrogates.of(text)
    assert len(surrogates.deidentified_text) == len(text)
    for start in range(0, len(text), 7):
        part = surrogates.deidentified_text[start : start + 20]
        original = surrogates.reidentified(part)
        assert original is None or original in text or part == ""


@pytest.mark.parametrize("is_tagged", [False, True])
def test_no_identifier_is_sent_to_the_engine(is_tagged: bool) -> None:
    engine = RecordingEngine()
    outcomes_by_task(engine, work_on(), is_tagged=is_tagged)
    assert len(engine.requests) > 4
    assert [name for name in (*NAMES, "Pemberton") if re.search(rf"(?<!\d){name}", sent(engine))] == []
    assert "aspirin 81 mg" in sent(engine)


def test_patient_names_from_the_metadata_are_not_sent() -> None:
    engine = RecordingEngine()
    outcomes_by_task(
        engine,
        work_on("The lady whom all call bunny has pain, says Quill. Case ZX-1."),
        patient_names=["Quill", "ZX-1"],
    )
    assert "bunny" in sent(engine)
    assert "Quill" not in sent(engine)
    assert "ZX-1" not in sent(engine)


@pytest.mark.parametrize("seed", range(12))
def test_answers_are_valid_for_the_original_note(seed: int) -> None:
    work = work_on()
    outcomes = outcomes_by_task(RecordingEngine(seed), work, is_tagged=bool(seed % 2))
    for job in work.jobs:
        outcome = outcomes[job.question.task]
        if isinstance(outcome, Finished):
            validate_answer(job, outcome, NOTE)
            assert surrogates_in(outcome) == set()


def surrogates_in(outcome: Finished) -> set[str]:
    """Returns the words of a summary that are surrogates and not words of the note."""
    words = set(re.findall(r"\w+", Surrogates.of(NOTE).deidentified_text)) - set(re.findall(r"\w+", NOTE))
    summary_text = outcome.answer.summary.text if isinstance(outcome.answer, SummaryAnswer) else ""
    return words & set(re.findall(r"\w+", summary_text))


def surrogate(original: str, document: str) -> str:
    """Returns what replaces `original` in a document that was sent."""
    start = NOTE.index(original) - NOTE.index("woman with") + document.index("woman with")
    return document[start : start + len(original)]


def seen_by(shown: str) -> str:
    return f"Seen by Dr. {surrogate('Lindqvist', shown)} for pain."


def on_a_day(shown: str) -> str:
    return f"On {surrogate('03/14/2023', shown)} there was pain."


def cut_short(shown: str) -> str:
    return f"{surrogate('Lindqvist', shown)[:-2]} has seen her."


def derived(shown: str) -> str:
    return f"The {surrogate('Lindqvist', shown).lower()}ian view was taken."


@pytest.mark.parametrize(
    ("sentence_for", "expected"),
    [
        (seen_by, "Seen by Dr. Lindqvist for pain."),
        (on_a_day, "On 03/14/2023 there was pain."),
        (cut_short, None),
        (derived, None),
        (lambda _shown: "Seen on day 01 of the month.", None),
        (lambda _shown: "She was given aspirin.", "She was given aspirin."),
    ],
)
def test_a_generated_sentence_has_the_original_names_or_is_dropped(
    sentence_for: Callable[[str], str], expected: str | None
) -> None:
    long_window = task_config(
        is_tagged=False, is_extractive=False, is_deidentified=True, summary_window_tokens=800
    )
    engine = RecordingEngine(sentence_for=sentence_for)
    work = work_on().model_copy(update={"jobs": work_on().jobs[2:]})
    [[(_, outcome)]] = process(work, engine=engine, config=long_window)
    assert isinstance(outcome, Finished)
    assert isinstance(outcome.answer, SummaryAnswer)
    texts = {sentence.text for sentence in outcome.answer.summary.sentences}
    assert texts == {"Chest pain", *([expected] if expected else [])}


def test_a_title_that_cannot_be_reidentified_fails_the_summary() -> None:
    engine = RecordingEngine(sentence_for=lambda _shown: "None.")
    engine._title = lambda shown: f"{surrogate('Lindqvist', shown)}s"
    work = work_on().model_copy(update={"jobs": work_on().jobs[2:]})
    config = task_config(
        is_tagged=False, is_extractive=False, is_deidentified=True, summary_window_tokens=800
    )
    [[(_, outcome)]] = process(work, engine=engine, config=config)
    assert isinstance(outcome, Failed)
    assert outcome.reason is Reason.UNPARSABLE


def test_two_names_with_the_same_surrogate_are_not_confused() -> None:
    surrogates = Surrogates.of("Mr. Bo and Mr. Al came. Mr. Bo left.")
    assert surrogates.deidentified_text == "Mr. Xx and Mr. Xx came. Mr. Xx left."
    assert surrogates.reidentified("Mr. Xx left.") == "Mr. Bo left."
    assert surrogates.reidentified("Xx is ill.") is None


def test_the_recipe_is_unchanged_without_the_setting(tokenizer_folder: Path) -> None:
    def recipes(**changes: Any) -> dict[str, Any]:
        usual = {"engine": "http", "http_model": "m", "weights": str(tokenizer_folder)}
        from models.settings import Settings

        return serving(Settings(**usual, **changes)).ingredients["tasks"]

    assert "deidentified" not in recipes()["search"]
    assert recipes(http_deidentified=True)["search"] == recipes()["search"] | {
        "deidentified": recipes(http_deidentified=True)["search"]["deidentified"]
    }


def test_a_real_server_is_sent_no_name_and_the_note_is_answered(
    llama_server: LlamaServer, tokenizer_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = http_settings(llama_server, tokenizer_folder, http_deidentified=True)
    engine, bodies = load(settings), []
    complete = ServerClient.complete
    monkeypatch.setattr(
        ServerClient,
        "complete",
        lambda self, body, **more: bodies.append(body) or complete(self, body, **more),
    )
    work = work_on().model_copy(update={"jobs": work_on().jobs[1:2]})
    [[(_, outcome)]] = process(work, engine=engine, config=served_task_config(settings))
    engine.close()
    prompts = "\n".join(engine._chat.tokenizer.decode(body["prompt"]) for body in bodies)
    assert [name for name in (*NAMES, "Pemberton") if re.search(rf"(?<!\d){name}", prompts)] == []
    assert isinstance(outcome, Finished)
    assert isinstance(outcome.answer, SearchAnswer)


def test_patient_names_come_from_the_identifying_columns(store: Store, engine: Any) -> None:
    metadata = {"Patient_Name": "DOE^JANE", "ward": "Cardio", "subject_id": 10032, "type_name": "Discharge"}
    submit(store, [Document(external_id="n-1", text="Pain.", metadata=metadata)])
    assert set(patient_names_of(engine, 1)) == {"n-1", "DOE^JANE", "DOE", "JANE", "10032"}
    assert patient_names_of(engine, 9) == ()


def test_the_prompts_command_shows_the_deidentified_prompts(
    notemill: Notemill, tokenizer_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"ENGINE": "http", "HTTP_MODEL": "m", "WEIGHTS": tokenizer_folder}.items():
        monkeypatch.setenv(f"NOTEMILL_{name}", str(value))
    notemill.write(one=NOTE)
    path = notemill.notes / "one.txt"
    assert notemill("prompts", path, "--search", "Has Odell pain?") == 0, notemill.err
    assert "Odell" in notemill.out
    monkeypatch.setenv("NOTEMILL_HTTP_DEIDENTIFIED", "true")
    assert notemill("prompts", path, "--search", "Has Odell pain?") == 0, notemill.err
    assert [name for name in NAMES if re.search(rf"(?<!\d){name}", notemill.out)] == []
