"""Span matching against gold: exact characters and label, or any common character."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from training.evaluation.metrics.counts import Counts


class LabeledSpan(NamedTuple):
    """Characters [start, end) of a text under a label."""

    start: int
    end: int
    label: str


def strict(predicted: Collection[LabeledSpan], gold: Collection[LabeledSpan]) -> Counts:
    """Counts spans with start, end and label of a gold span."""
    right = len(set(predicted) & set(gold))
    return Counts(right, len(set(predicted)), right, len(set(gold)))


def overlap(predicted: Collection[LabeledSpan], gold: Collection[LabeledSpan]) -> Counts:
    """Counts spans that share a character and the label with a gold span."""
    predicted_right = sum(touches(span, gold) for span in set(predicted))
    gold_right = sum(touches(span, predicted) for span in set(gold))
    return Counts(predicted_right, len(set(predicted)), gold_right, len(set(gold)))


def touches(span: LabeledSpan, others: Iterable[LabeledSpan]) -> bool:
    """True if the span shares a character and the label with any of the others."""
    return any(
        span.start < other.end and other.start < span.end and span.label == other.label for other in others
    )


def of_label(spans: Iterable[LabeledSpan], label: str) -> list[LabeledSpan]:
    return [span for span in spans if span.label == label]
