"""What a data set looks like before anything is filtered: columns, origins, turns, and whole samples."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from training.data.data_tables import BrokenRow, read_rows
from training.data.medical_filter import is_medical
from training.data.row_formats import Columns, recognize

_SAMPLES = 2
"""Of each origin."""


@dataclass
class Inspection:
    """Counts over all files."""

    rows: Counter[str] = field(default_factory=Counter)
    columns: dict[str, list[str]] = field(default_factory=dict)
    """By file."""
    kinds: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    origins: Counter[str] = field(default_factory=Counter)
    medical: Counter[str] = field(default_factory=Counter)
    """By origin, how many the rule of words calls medical."""
    turns: Counter[int] = field(default_factory=Counter)
    with_preamble: int = 0
    samples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """By origin or kind, the rows' own text."""


def inspect(files: Iterable[Path], columns: Columns, limit: int | None = None) -> Inspection:
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


def _count(found: Inspection, row: dict[str, object], path: Path, columns: Columns) -> None:
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
