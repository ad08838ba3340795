"""One table of all tasks: the few metrics that decide, with the baselines beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

_ROWS = (
    ("entities", "four labels, overlapping spans: F1", "four_labels.overlap.f1"),
    ("entities", "four labels, exact spans: F1", "four_labels.strict.f1"),
    ("entities", "problems, overlapping spans: F1", "by_label.problem.overlap.f1"),
    ("entities", "medications, overlapping spans: F1", "by_label.medication.overlap.f1"),
    ("entities", "tests, overlapping spans: F1", "by_label.test.overlap.f1"),
    ("entities", "procedures, overlapping spans: F1", "by_label.procedure.overlap.f1"),
    ("entities", "expected calibration error", "calibration.expected_error"),
    ("entities", "assertion of the found mentions: accuracy", "assertion.accuracy"),
    ("entities", "assertion of the found mentions: macro F1", "assertion.macro_f1"),
    ("assertion", "given mentions: accuracy", "accuracy"),
    ("links", "dosage, frequency, route, overlapping: F1", "overlap.f1"),
    ("search", "served sentences: precision", "set.precision"),
    ("search", "served sentences: recall", "set.recall"),
    ("search", "served sentences: F1", "set.f1"),
    ("search", "first sentence right", "first_right"),
    ("search", "silent if the note has no answer", "silent"),
    ("search", "mean average precision", "map"),
    ("search", "expected calibration error", "calibration.expected_error"),
    ("summary", "key sentences that it contains", "keys.recall"),
    ("summary", "share of its sentences that are key", "keys.precision"),
    ("summary", "ROUGE-1", "rouge1"),
    ("summary", "figures and medications that are in the note", "faithfulness.numbers_and_medications.share"),
    ("summary", "words", "words"),
)
"""Task, measure, and the path of the figure in the result."""


def overview(figures: Mapping[str, Any], caption: str) -> Table:
    """The table of `train evaluate --task all`."""
    by_task = figures["tasks"]
    baselines = list(dict.fromkeys(name for task in by_task.values() for name in task.get("baselines", {})))
    table = Table(caption=caption, caption_justify="left")
    for column in ("task", "measure"):
        table.add_column(column)
    for column in ("notemill", *baselines):
        table.add_column(column, justify="right")
    shown_task = ""
    for task, measure, path in _ROWS:
        scores = by_task.get(task, {})
        own = _value(scores, path)
        if own is None:
            continue
        others = [_value(scores.get("baselines", {}).get(name, {}), path) for name in baselines]
        table.add_row("" if task == shown_task else task, measure, *map(_formatted, (own, *others)))
        shown_task = task
    return table


def _value(figures: Mapping[str, Any], path: str) -> float | None:
    value: Any = figures
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, int | float) else None


def _formatted(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if value <= 1 else f"{value:.0f}"
