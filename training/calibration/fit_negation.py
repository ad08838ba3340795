"""Fits the negation model: how the network's score combines with the rules, on annotated notes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from models.answers import Assertion
from training.calibration.logistic_regression import logistic
from training.evaluation.records.evaluation_data import KNOWN_NAMES, Record
from training.examples.gold_assertions import assertion_of, is_told
from worker.engine.api import Engine
from worker.entities.entity_task import rule_assertions
from worker.entities.window_tagging import Mention, negation_log_odds, tagging_requests
from worker.note.parsed_note import Note
from worker.weights.negation_model import NEGATABLE_LABELS, NegationModel
from worker.weights.task_config import TaskConfig


def fit_negation(records: Sequence[Record], engine: Engine, config: TaskConfig) -> NegationModel | None:
    """The fitted model; None where no record says whether its mentions are negated."""
    rows = [row for record in records for row in _rows(record, engine, config)]
    if not any(is_denied for *_, is_denied in rows):
        return None
    given = np.array([[1.0, is_ruled, log_odds] for is_ruled, log_odds, _ in rows])
    weights = logistic(given, np.array([float(is_denied) for *_, is_denied in rows]))
    return NegationModel(*(round(float(one), 2) for one in weights))


def _rows(record: Record, engine: Engine, config: TaskConfig) -> Iterator[tuple[float, float, bool]]:
    """For each mention: whether the rules negate it, the network's log-odds, and the annotation."""
    entities: list[dict[str, Any]] = record.get("entities", [])
    if not is_told(entities):
        return
    text = record["text"]
    note = Note.of(text, engine.count_tokens, config.window_tokens, config.summary_window_tokens)
    denied = negation_log_odds(note, engine.answer(tagging_requests(note, config)))
    for one in entities:
        label = KNOWN_NAMES.get(one["label"], one["label"].lower())
        if label in NEGATABLE_LABELS:
            mention = Mention(one["start"], one["end"], label, None)
            is_ruled = Assertion.NEGATED in rule_assertions(note, mention)
            is_denied = assertion_of(one, entities) is Assertion.NEGATED
            yield float(is_ruled), denied.at(mention.end), is_denied
