"""Rows to train on that somebody's export broke: named, and the next one is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.data.row_formats import BrokenRow, RowColumns, recognize


@pytest.mark.parametrize("start", [float("inf"), float("nan"), "one", None, [1]])
def test_a_place_that_is_no_number_breaks_its_row_alone(start: object) -> None:
    row = {"sentence": "No fever.", "negation": "Negated", "start": start, "end": 8}
    assert recognize(row, Path("rows.jsonl"), RowColumns()) == BrokenRow(
        "a field is missing or of another type"
    )
