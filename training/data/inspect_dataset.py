"""Inspection of a data set before anything is filtered: columns, origins, turns, and samples."""

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
    """By origin the number of rows that the word rule calls medical."""
    turns: Counter[int] = field(default_factory=Counter)
    with_preamble: int = 0
    samples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Texts of rows by origin or kind."""


def inspect(files: Iterable[Path], columns: RowColumns, limit: int | None = None) -> Inspection:
    """Reads every row of the files, or the first `limit` of each."""
    found = Inspection()
    for path in files:
        name = f"{path.parent.name}/{path.name}"
        for number, row in enumerate(read_rows(path)):
            if number == limit:
                break
            found.rows[name] += 1
            if isinstance(row, BrokenRow):
                found.broken[row.reason] += 1
                continue
            found.columns.setdefault(name, list(row))
            _count(found, row, path, columns)
    return found


def _count(found: Inspection, row: dict[str, object], path: Path, columns: RowColumns) -> None:
    one = recognize(row, path, columns)
    if isinstance(one, BrokenRow):
        found.broken[one.reason] += 1
        group = f"broken: {one.reason}"
    else:
        found.kinds[one.record["kind"]] += 1
        group = str(one.record["kind"])
        if one.conversation is not None:
            group = one.conversation.origin or "(no origin)"
            found.origins[group] += 1
            found.medical[group] += is_medical(one.text)
            found.turns[len(one.conversation.turns)] += 1
            found.with_preamble += one.conversation.has_preamble
    if len(found.samples[group]) < _SAMPLES:
        longest = max((str(value) for value in row.values()), key=len, default="")
        found.samples[group].append(longest)
