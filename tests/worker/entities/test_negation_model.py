"""What is denied: the rules' word and the network's add up, in serving, in fitting and in evaluating."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from task_configs import CONFIG

from models.answers import Assertion
from models.labels import load_labels
from training.calibration.fit_negation import fit_negation
from training.evaluation import assertion_evaluation
from training.evaluation.pipeline_runner import PipelineRunner
from worker.engine.api import Reply, ScoreRequest, ScoreResult, Scores
from worker.engine.prompting.label_words import ASSERTION_WORDS
from worker.entities.entity_task import entities_of
from worker.entities.window_tagging import Mention, negation_log_odds, tagged_mentions, tagging_requests
from worker.note.parsed_note import Note
from worker.weights.negation_model import NEGATABLE_LABELS, NegationModel

JOIN = NegationModel(bias=-3.0, rules=5.0, network=1.0)
NEGATED, PRESENT = Assertion.NEGATED, Assertion.PRESENT


class Believer:
    """An engine whose network takes for denied what ends with the word that it believes to be, and marks all
    problems that it knows."""

    def __init__(self, denied: str, problems: Sequence[str] = ()) -> None:
        self._denied, self._problems = denied, problems

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def answer(self, requests: Sequence[ScoreRequest], *, is_urgent: bool = False) -> list[Reply]:
        return [self._read(one) for one in requests]

    def close(self) -> None: ...

    def _read(self, request: ScoreRequest) -> ScoreResult:
        marks, kinds, _ = request.choices
        starts = [place for place, sign in enumerate(request.copy) if place == 0 or sign == " "]
        spans = tuple(zip(starts, [*starts[1:], len(request.copy)], strict=True))
        words = [request.copy[start:end].strip(" .") for start, end in spans]
        said = np.full((len(spans), len(ASSERTION_WORDS)), -9.0, np.float32)
        of_marks = np.full((len(spans), len(marks.words)), -9.0, np.float32)
        for row, word in enumerate(words):
            said[row, 1 if word == self._denied else 0] = -1e-4
            of_marks[row, 1 if word in self._problems else 0] = -1e-4
        own = tuple((max(0, end - 1), end) for end in kinds.ends or ())
        of_kinds = np.full((len(own), len(kinds.words)), np.log(0.2), np.float32)
        return ScoreResult((Scores(spans, of_marks), Scores(own, of_kinds), Scores(spans, said)), 1)


@pytest.mark.parametrize(
    ("held", "log_odds", "expected"),
    [
        (frozenset(), 2.9, frozenset()),
        (frozenset(), 3.1, frozenset({NEGATED})),
        (frozenset({NEGATED}), -1.9, frozenset({NEGATED})),
        (frozenset({NEGATED, Assertion.FAMILY}), -2.1, frozenset({Assertion.FAMILY})),
    ],
)
def test_rules_and_network_add_up(held, log_odds, expected):
    assert JOIN.apply(held, log_odds) == expected


def test_weights_of_other_names_are_no_weights():
    assert NegationModel.of(None) is None
    assert NegationModel.of(JOIN._asdict()) == JOIN
    with pytest.raises(TypeError):
        NegationModel.of({"bias": 1.0})


@pytest.mark.parametrize(("join", "said"), [(None, PRESENT), (JOIN, NEGATED)])
def test_a_mention_is_denied_where_the_network_is_sure_and_is_asked(join, said):
    text = "He came. The gout was gone."
    config = replace(CONFIG, tagged_labels=("problem", "anatomy"), negation_model=join)
    engine = Believer("gout", ["gout"])
    note = Note.of(text, engine.count_tokens, config.window_tokens, config.summary_window_tokens)
    mentions = tagged_mentions(note, engine.answer(tagging_requests(note, config)), config)
    [entity] = entities_of(note, mentions, load_labels(None), config.negation_model)
    assert (entity.text, entity.assertion) == ("gout", said)


def test_of_windows_that_overlap_the_one_counts_whose_own_part_it_is():
    config = replace(CONFIG, window_tokens=8)
    text = "He had gout. He had fever. He had cough. He had chills. He had pain."
    engine = Believer("cough")
    note = Note.of(text, engine.count_tokens, config.window_tokens, config.summary_window_tokens)
    assert len(note.windows) > 1
    denied = negation_log_odds(note, engine.answer(tagging_requests(note, config)))
    assert list(denied.ends) == sorted(set(denied.ends))
    sure = [
        word for word in ("gout", "fever", "cough", "chills") if denied.at(text.index(word) + len(word)) > 0
    ]
    assert sure == ["cough"]


def record(text: str, word: str, *, is_denied: bool) -> dict:
    start = text.index(word)
    mention = {"start": start, "end": start + len(word), "text": word, "label": "Sign_symptom"}
    told = {"start": 0, "end": 2, "text": text[:2], "label": "Age", "polarity": "UNCERTAIN"}
    return {
        "id": text,
        "text": text,
        "entities": [mention | ({"polarity": "NEG"} if is_denied else {}), told],
    }


RECORDS = [
    *[record("He had no gout.", "gout", is_denied=True)] * 6,
    *[record("He had no cough.", "cough", is_denied=False)] * 2,
    *[record("He had absent reflexes.", "reflexes", is_denied=False)] * 6,
]


def test_what_the_network_knows_better_is_learnt_and_without_polarity_there_is_nothing_to_learn():
    join = fit_negation(RECORDS, Believer("gout"), CONFIG)
    assert join is not None
    assert join.network > 0
    assert NEGATED in join.apply(frozenset({NEGATED}), 8.9)
    assert NEGATED not in join.apply(frozenset({NEGATED}), -8.9)
    assert fit_negation([{"text": "He had gout.", "entities": []}], Believer("gout"), CONFIG) is None


@pytest.mark.parametrize(("denied", "right"), [("gout", 1.0), ("nothing", 0.0)])
def test_given_spans_are_judged_with_the_network(denied, right):
    config = replace(CONFIG, negation_model=NegationModel(0.0, 0.0, 1.0))
    asking = PipelineRunner(Believer(denied), config, tuple(load_labels(None)), threads=2)
    found = assertion_evaluation.evaluate(RECORDS, Path("maccrobat/dev.jsonl"), [], asking)
    assert found.figures["negation"]["recall"] == right
    assert found.figures["negation"]["mentions"] == 6


def test_what_is_asked_of_has_no_place_or_dose_in_it():
    assert {"problem", "medication"} < NEGATABLE_LABELS
    assert not NEGATABLE_LABELS & {"anatomy", "dosage", "value"}
    assert Mention(0, 1, "problem", None).negation_log_odds is None
