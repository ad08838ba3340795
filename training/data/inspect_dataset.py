"""Inspects a data set before it is filtered: columns, origins, turns, and samples."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from training.data.data_tables import BrokenRow, read_rows
from training.data.medical_filter import is_medical
from training.data.row_formats import RowColumns, recognize

_SAMPLES = 2
"""Samples of each origin."""


@dataclass
class Inspection:
    """Counts over all files."""

    rows: Counter[str] = field(default_factory=Counter)
    columns: dict[str, list[str]] = field(default_factory=dict)
    """Columns by file."""
    kinds: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    origins: Counter[str] = field(default_factory=Counter)
    medical: Counter[str] = field(default_factory=Counter)
    """Number of rows by origin that the word rule calls medical."""
    turns: Counter[int] = field(default_factory=Counter)
    with_preamble: int = 0
    samples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Sample texts by origin or kind."""


def inspect(files: Iterable[Path], columns: RowColumns, limit: int | None = None) -> Inspection:
    """Reads every row of the files, or the first `limit` of each."""
    inspection = Inspection()
    for path in files:
        name = f"{path.parent.name}/{path.name}"
        for number, row in enumerate(read_rows(path)):
            if number == limit:
                break
            inspection.rows[name] += 1
            if isinstance(row, BrokenRow):
                inspection.broken[row.reason] += 1
                continue
            inspection.columns.setdefault(name, list(row))
            _count(inspection, row, path, columns)
    return inspection


def _count(inspection: Inspection, row: dict[str, object], path: Path, columns: RowColumns) -> None:
    recognized = recognize(row, path, columns)
    if isinstance(recognized, BrokenRow):
        inspection.broken[recognized.reason] += 1
        group = f"broken: {recognized.reason}"
    else:
        inspection.kinds[recognized.record["kind"]] += 1
        group = str(recognized.record["kind"])
        if recognized.conversation is not None:
            group = recognized.conversation.origin or "(no origin)"
            inspection.origins[group] += 1
            inspection.medical[group] += is_medical(recognized.text)
            inspection.turns[len(recognized.conversation.turns)] += 1
            inspection.with_preamble += recognized.conversation.has_preamble
    if len(inspection.samples[group]) < _SAMPLES:
        longest = max((str(value) for value in row.values()), key=len, default="")
        inspection.samples[group].append(longest)
