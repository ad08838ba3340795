"""Evaluations through the real pipeline: a network that is always right scores 1; what is told is numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from models.labels import load_labels
from models.settings import Settings
from training.evaluation.evaluate import TASKS, EvaluationPlan, evaluate
from training.evaluation.records.evaluation_data import DataError
from training.finetune.curves import draw_calibration
from worker.engine.api import (
    Choice,
    CompareRequest,
    CompareResult,
    Reply,
    Request,
    RequestError,
    ScoreRequest,
    ScoreResult,
    Scores,
)
from worker.engine.prompting.label_words import ASSERTION_WORDS

pytest_plugins = ("commands",)
TEXT = "He took aspirin 81 mg daily for chest pain. Metoprolol was stopped. No fever."
MARKS = {
    "aspirin": "medication",
    "81 mg": "dosage",
    "chest pain": "problem",
    "Metoprolol": "medication",
    "fever": "problem",
}
ENTITIES = [
    {"start": TEXT.index(part), "end": TEXT.index(part) + len(part), "label": label}
    for part, label in MARKS.items()
]
RECORD = {
    "id": "n1",
    "text": TEXT,
    "entities": ENTITIES,
    "relations": [{"from": 1, "to": 0, "type": "MODIFY"}],
    "queries": [{"query": "which drug was stopped", "relevant": [[44, 68]]}],
    "summary": "Aspirin 81 mg for chest pain.",
}


class RightEngine:
    """Decides as MARKS say, a letter a token; the sentence with `stopped` answers every query."""

    context_tokens = 32_768

    def __init__(self, is_right: bool = True) -> None:
        self.is_right = is_right

    def count_tokens(self, text: str) -> int:
        return len(text)

    def close(self) -> None:
        """There is nothing to close."""

    def answer(self, requests: Sequence[Request], *, is_urgent: bool = False) -> list[Reply]:
        return [self._reply(one) if self.is_right else RequestError("too_long", "") for one in requests]

    def _reply(self, request: Request) -> Reply:
        if isinstance(request, CompareRequest):
            return CompareResult((0.0,) * len(request.texts))
        assert isinstance(request, ScoreRequest)
        scores = tuple(_scores(choice, request.copy) for choice in request.choices)
        return ScoreResult(scores, len(request.copy))


def _scores(choice: Choice, copy: str) -> Scores:
    ends = choice.ends or tuple(range(1, len(copy) + 1))
    if choice.ends:
        right = np.array(["stopped" not in copy[end - 12 : end] for end in ends], dtype=int)
    else:
        right = np.zeros(len(ends), dtype=int)
        is_of_marks = len(choice.words) > len(ASSERTION_WORDS)
        for part, label in MARKS.items():
            start = copy.find(part)
            if is_of_marks and start >= 0:
                word = 1 + 2 * [one.name for one in load_labels()].index(label)
                right[start : start + len(part)] = [word] + [word + 1] * (len(part) - 1)
    scores = np.full((len(ends), len(choice.words)), 0.01, np.float32)
    scores[np.arange(len(ends)), right] = 1.0
    scores = np.log(scores / scores.sum(axis=1, keepdims=True))
    return Scores(tuple((end - 1, end) for end in ends), scores)


@pytest.fixture
def settings() -> Settings:
    """The embedded default's forms; its weights are not loaded."""
    return Settings()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "dev.jsonl"
    path.write_text(json.dumps(RECORD) + "\n", "utf-8")
    return path


def figures(settings: Settings, data: Path, task: str, engine: RightEngine | None = None, **more):
    plan = EvaluationPlan(task=task, data=data, **more)
    return evaluate(plan, settings, load_engine=lambda *_: engine or RightEngine()).figures


def test_right_marks_are_strictly_right_entities(settings, data):
    told = figures(settings, data, "entities")
    assert told["strict"]["f1"] == told["overlap"]["f1"] == told["offsets_true"] == 1.0
    assert told["by_label"]["medication"]["mentions"] == 2
    assert told["invalid_answers"] == 0


def test_with_a_map_only_its_labels_count(settings, data):
    told = figures(settings, data, "entities", map=["medication=medication"])
    assert set(told["by_label"]) == {"medication"}
    assert told["strict"]["precision"] == 1.0


def test_a_dose_is_linked_to_its_medication_the_whole_way(settings, data):
    told = figures(settings, data, "links")
    assert told["by_label"]["dosage"]["strict"]["f1"] == told["given"]["overlap"]["recall"] == 1.0


def test_a_search_is_ranked_over_all_sentences_and_cut_at_the_served_threshold(settings, data):
    told = figures(settings, data, "search", baselines=["bm25"])
    assert told["map"] == told["set"]["f1"] == told["baselines"]["bm25"]["map"] == 1.0
    assert told["set"]["threshold"] > 0


def test_a_chosen_summary_says_nothing_that_its_note_does_not(settings, data):
    told = figures(settings, data, "summary", baselines=["lead3"])
    assert all(one["share"] == 1.0 for one in told["faithfulness"].values())
    assert told["rouge1"] > 0.3
    assert told["baselines"]["lead3"]["rouge1"] > 0


@pytest.mark.parametrize("task", ["entities", "links", "search", "summary"])
def test_a_failed_answer_is_invalid_and_finds_nothing(settings, data, task):
    assert figures(settings, data, task, RightEngine(is_right=False))["invalid_answers"] == 1


@pytest.mark.parametrize("task", [task for task in TASKS if task != "assertion"])
def test_figures_are_json_and_hold_no_text_of_the_note(settings, data, task):
    written = json.dumps(figures(settings, data, task))
    assert "chest pain" not in written
    assert "stopped" not in written


@pytest.mark.parametrize(
    ("task", "more", "words"),
    [
        ("poetry", {}, "Tasks: entities"),
        ("search", {"baselines": ["lead3"]}, "does not go with --task search"),
        ("summary", {"map": ["a=b"]}, "--map goes with"),
        ("search", {"half": "first"}, "neither odd nor even"),
        ("entities", {"baselines": ["dictionary"]}, "train.jsonl to learn from"),
        ("assertion", {}, "no entity has a polarity"),
    ],
)
def test_a_plan_that_cannot_be_is_an_error_that_says_what_can(settings, data, task, more, words):
    with pytest.raises(DataError, match=words):
        figures(settings, data, task, **more)


def test_the_command_ends_with_one_json_object_and_writes_a_page_for_one_pair_of_eyes(notemill, tmp_path):
    path, page = tmp_path / "s.jsonl", tmp_path / "errors.html"
    row = {"sentence": "Has no fever.", "start": 7, "end": 12, "negation": "affirmed"}
    path.write_text(json.dumps(row) + "\n", "utf-8")
    command = ["train", "evaluate", "--task", "assertion", "--data", str(path)]
    assert notemill(*command, "--json", "--errors", str(page)) == 0
    assert json.loads(notemill.out.splitlines()[-1])["accuracy"] == 1.0
    assert "No errors" in page.read_text("utf-8")
    assert page.stat().st_mode & 0o777 == 0o600


def test_the_table_names_every_measure_and_its_interval(notemill, tmp_path):
    path = tmp_path / "s.jsonl"
    rows = [
        {"sentence": f"{word} fever.", "start": len(word) + 1, "end": len(word) + 6, "negation": negation}
        for word, negation in (("No", "negated"), ("Has", "affirmed"), ("Denies", "negated"))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert (
        notemill("train", "evaluate", "--task", "assertion", "--data", str(path), "--baseline", "negex") == 0
    )
    assert "negation P R F1" in notemill.out
    assert "1.000 1.000 1.000 [" in notemill.out
    assert "3 records" in notemill.out


def test_what_was_said_and_what_was_right_is_a_picture(settings, data, tmp_path):
    told = figures(settings, data, "entities")["calibration"]
    assert sum(count for _, _, count in told["bins"]) > 0
    draw_calibration(tmp_path / "honest.png", told)
    assert (tmp_path / "honest.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_probabilities_goes_with_entities(notemill, tmp_path):
    command = ["train", "evaluate", "--task", "search", "--data", str(tmp_path)]
    assert notemill(*command, "--calibration", str(tmp_path / "x.png")) == 2
    assert "--task entities" in notemill.err
