"""Assertion metrics of matched mentions: accuracy, and F1 averaged over the assertions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from models.answers import Assertion
from training.evaluation.metrics.counts import mean_interval


class AssertedSpan(NamedTuple):
    """Characters [start, end) with a label and an assertion."""

    start: int
    end: int
    label: str
    assertion: Assertion


def matched_pairs(
    gold: Sequence[AssertedSpan], predicted: Sequence[AssertedSpan]
) -> list[tuple[Assertion, Assertion]]:
    """For each gold mention that shares characters with a predicted one of its label: both assertions.

    Of several predicted mentions the one with the longest overlap counts.
    """
    pairs = []
    for span in gold:
        candidates = [
            other
            for other in predicted
            if other.label == span.label and other.start < span.end and span.start < other.end
        ]
        if candidates:
            best = max(candidates, key=lambda other: _common_characters(span, other))
            pairs.append((span.assertion, best.assertion))
    return pairs


def figures(pairs: Sequence[tuple[Assertion, Assertion]]) -> dict[str, Any]:
    """Accuracy; F1 by assertion, and its mean over the assertions that the gold mentions have."""
    hits = [gold is predicted for gold, predicted in pairs]
    f1 = {
        assertion.value: round(_f1(pairs, assertion), 4)
        for assertion in Assertion
        if any(gold is assertion for gold, _ in pairs)
    }
    return {
        "accuracy": round(sum(hits) / len(hits), 4) if hits else 0.0,
        "accuracy_interval": mean_interval([float(hit) for hit in hits]),
        "macro_f1": round(sum(f1.values()) / len(f1), 4) if f1 else 0.0,
        "f1_by_assertion": f1,
        "matched": len(pairs),
    }


def _common_characters(span: AssertedSpan, other: AssertedSpan) -> int:
    return min(span.end, other.end) - max(span.start, other.start)


def _f1(pairs: Sequence[tuple[Assertion, Assertion]], assertion: Assertion) -> float:
    right = sum(gold is predicted is assertion for gold, predicted in pairs)
    total = sum((gold is assertion) + (predicted is assertion) for gold, predicted in pairs)
    return 2 * right / total if total else 0.0
