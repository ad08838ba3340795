"""Span matching against gold: exact characters and label, or any common character."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from training.evaluation.metrics.counts import Counts


class Marked(NamedTuple):
    """Characters [start, end) of a text under a label."""

    start: int
    end: int
    label: str


def strict(found: Collection[Marked], gold: Collection[Marked]) -> Counts:
    """Counts spans with start, end and label of a gold span."""
    right = len(set(found) & set(gold))
    return Counts(right, len(set(found)), right, len(set(gold)))


def overlap(found: Collection[Marked], gold: Collection[Marked]) -> Counts:
    """Counts spans that share a character and the label with a gold span."""
    found_right = sum(touches(one, gold) for one in set(found))
    gold_right = sum(touches(one, found) for one in set(gold))
    return Counts(found_right, len(set(found)), gold_right, len(set(gold)))


def touches(one: Marked, others: Iterable[Marked]) -> bool:
    """True where it shares a character and the label with any of the others."""
    return any(
        one.start < other.end and other.start < one.end and one.label == other.label for other in others
    )


def of_label(spans: Iterable[Marked], label: str) -> list[Marked]:
    return [one for one in spans if one.label == label]
