"""Fits the negation model: how the network's score combines with the rules, on annotated notes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from models.answers import Assertion
from training.calibration.logistic_regression import logistic
from training.evaluation.records.evaluation_data import LABEL_BY_SOURCE_NAME, Record
from training.examples.gold_assertions import assertion_of, has_assertions
from worker.engine.api import Engine
from worker.entities.entity_task import rule_assertions
from worker.entities.window_tagging import Mention, negation_log_odds, tagging_requests
from worker.note.parsed_note import Note
from worker.weights.negation_model import NEGATABLE_LABELS, NegationModel
from worker.weights.task_config import TaskConfig


def fit_negation(records: Sequence[Record], engine: Engine, config: TaskConfig) -> NegationModel | None:
    """The fitted model; None if no record annotates a negated mention."""
    rows = [row for record in records for row in _rows(record, engine, config)]
    if not any(is_negated for *_, is_negated in rows):
        return None
    features = np.array([[1.0, by_rules, log_odds] for by_rules, log_odds, _ in rows])
    weights = logistic(features, np.array([float(is_negated) for *_, is_negated in rows]))
    return NegationModel(*(round(float(weight), 2) for weight in weights))


def _rows(record: Record, engine: Engine, config: TaskConfig) -> Iterator[tuple[float, float, bool]]:
    """Yields for each mention whether the rules negate it, the network's log-odds, and the annotation."""
    entities: list[dict[str, Any]] = record.get("entities", [])
    if not has_assertions(entities):
        return
    text = record["text"]
    note = Note.of(text, engine.count_tokens, config.window_tokens, config.summary_window_tokens)
    negation = negation_log_odds(note, engine.answer(tagging_requests(note, config)))
    for entity in entities:
        label = LABEL_BY_SOURCE_NAME.get(entity["label"], entity["label"].lower())
        if label in NEGATABLE_LABELS:
            mention = Mention(entity["start"], entity["end"], label, None)
            by_rules = Assertion.NEGATED in rule_assertions(note, mention)
            is_negated = assertion_of(entity, entities) is Assertion.NEGATED
            yield float(by_rules), negation.at(mention.end), is_negated
