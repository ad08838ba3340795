"""Negation model: rules and the network's log-odds are added in serving, fitting and evaluation."""

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

MODEL = NegationModel(bias=-3.0, rules=5.0, network=1.0)
NEGATED, PRESENT = Assertion.NEGATED, Assertion.PRESENT


class ScriptedNegationEngine:
    """An engine whose network negates one given word and tags the given problems."""

    def __init__(self, negated_word: str, problems: Sequence[str] = ()) -> None:
        self._negated_word, self._problems = negated_word, problems

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def answer(self, requests: Sequence[ScoreRequest], *, is_urgent: bool = False) -> list[Reply]:
        return [self._read(request) for request in requests]

    def close(self) -> None: ...

    def _read(self, request: ScoreRequest) -> ScoreResult:
        tags, kinds, _ = request.choices
        starts = [offset for offset, character in enumerate(request.copy) if offset == 0 or character == " "]
        spans = tuple(zip(starts, [*starts[1:], len(request.copy)], strict=True))
        words = [request.copy[start:end].strip(" .") for start, end in spans]
        assertion_scores = np.full((len(spans), len(ASSERTION_WORDS)), -9.0, np.float32)
        tag_scores = np.full((len(spans), len(tags.words)), -9.0, np.float32)
        for row, word in enumerate(words):
            assertion_scores[row, 1 if word == self._negated_word else 0] = -1e-4
            tag_scores[row, 1 if word in self._problems else 0] = -1e-4
        kind_spans = tuple((max(0, end - 1), end) for end in kinds.ends or ())
        kind_scores = np.full((len(kind_spans), len(kinds.words)), np.log(0.2), np.float32)
        return ScoreResult(
            (Scores(spans, tag_scores), Scores(kind_spans, kind_scores), Scores(spans, assertion_scores)), 1
        )


@pytest.mark.parametrize(
    ("rule_statuses", "log_odds", "expected"),
    [
        (frozenset(), 2.9, frozenset()),
        (frozenset(), 3.1, frozenset({NEGATED})),
        (frozenset({NEGATED}), -1.9, frozenset({NEGATED})),
        (frozenset({NEGATED, Assertion.FAMILY}), -2.1, frozenset({Assertion.FAMILY})),
    ],
)
def test_the_model_adds_up_rules_and_network(rule_statuses, log_odds, expected):
    assert MODEL.apply(rule_statuses, log_odds) == expected


def test_weights_with_unknown_names_are_an_error():
    assert NegationModel.of(None) is None
    assert NegationModel.of(MODEL._asdict()) == MODEL
    with pytest.raises(TypeError):
        NegationModel.of({"bias": 1.0})


@pytest.mark.parametrize(("model", "expected"), [(None, PRESENT), (MODEL, NEGATED)])
def test_a_confident_network_negates_a_mention_if_there_is_a_model(model, expected):
    text = "He came. The gout was gone."
    config = replace(CONFIG, tagged_labels=("problem", "anatomy"), negation_model=model)
    engine = ScriptedNegationEngine("gout", ["gout"])
    note = Note.of(text, engine.count_tokens, config.window_tokens, config.summary_window_tokens)
    mentions = tagged_mentions(note, engine.answer(tagging_requests(note, config)), config)
    [entity] = entities_of(note, mentions, load_labels(None), config.negation_model)
    assert (entity.text, entity.assertion) == ("gout", expected)


def test_overlapping_windows_score_only_the_tokens_of_their_core():
    config = replace(CONFIG, window_tokens=8)
    text = "He had gout. He had fever. He had cough. He had chills. He had pain."
    engine = ScriptedNegationEngine("cough")
    note = Note.of(text, engine.count_tokens, config.window_tokens, config.summary_window_tokens)
    assert len(note.windows) > 1
    log_odds = negation_log_odds(note, engine.answer(tagging_requests(note, config)))
    assert list(log_odds.ends) == sorted(set(log_odds.ends))
    negated_words = [
        word for word in ("gout", "fever", "cough", "chills") if log_odds.at(text.index(word) + len(word)) > 0
    ]
    assert negated_words == ["cough"]


def record(text: str, word: str, *, is_negated: bool) -> dict:
    start = text.index(word)
    mention = {"start": start, "end": start + len(word), "text": word, "label": "Sign_symptom"}
    age_mention = {"start": 0, "end": 2, "text": text[:2], "label": "Age", "polarity": "UNCERTAIN"}
    return {
        "id": text,
        "text": text,
        "entities": [mention | ({"polarity": "NEG"} if is_negated else {}), age_mention],
    }


RECORDS = [
    *[record("He had no gout.", "gout", is_negated=True)] * 6,
    *[record("He had no cough.", "cough", is_negated=False)] * 2,
    *[record("He had absent reflexes.", "reflexes", is_negated=False)] * 6,
]


def test_fitting_gives_weight_to_a_better_network_and_needs_polarities():
    model = fit_negation(RECORDS, ScriptedNegationEngine("gout"), CONFIG)
    assert model is not None
    assert model.network > 0
    assert NEGATED in model.apply(frozenset({NEGATED}), 8.9)
    assert NEGATED not in model.apply(frozenset({NEGATED}), -8.9)
    assert (
        fit_negation([{"text": "He had gout.", "entities": []}], ScriptedNegationEngine("gout"), CONFIG)
        is None
    )


@pytest.mark.parametrize(("negated_word", "expected_recall"), [("gout", 1.0), ("nothing", 0.0)])
def test_annotated_spans_are_evaluated_with_the_network(negated_word, expected_recall):
    config = replace(CONFIG, negation_model=NegationModel(0.0, 0.0, 1.0))
    runner = PipelineRunner(ScriptedNegationEngine(negated_word), config, tuple(load_labels(None)), threads=2)
    evaluation = assertion_evaluation.evaluate(RECORDS, Path("maccrobat/dev.jsonl"), [], runner)
    assert evaluation.figures["negation"]["recall"] == expected_recall
    assert evaluation.figures["negation"]["mentions"] == 6


def test_anatomy_and_attributes_cannot_be_negated():
    assert {"problem", "medication"} < NEGATABLE_LABELS
    assert not NEGATABLE_LABELS & {"anatomy", "dosage", "value"}
    assert Mention(0, 1, "problem", None).negation_log_odds is None
