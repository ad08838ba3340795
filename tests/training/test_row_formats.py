"""Training rows with damaged fields are reported, and reading continues."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.data.row_formats import BrokenRow, RowColumns, recognize


@pytest.mark.parametrize("start", [float("inf"), float("nan"), "one", None, [1]])
def test_an_offset_that_is_no_number_breaks_only_its_row(start: object) -> None:
    row = {"sentence": "No fever.", "negation": "Negated", "start": start, "end": 8}
    assert recognize(row, Path("rows.jsonl"), RowColumns()) == BrokenRow(
        "a field is missing or of another type"
    )
