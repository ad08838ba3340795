"""Watermark of a table: rows whose mark (a growing id, a time of change) is beyond the last one.

Pure; does not import a database. A mark is stored between nightly runs as JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from models.errors import UsageError

Mark = int | float | str | date | datetime


@dataclass(frozen=True, slots=True)
class WatermarkWindow:
    """Values of one column after one mark and up to another, inclusive; None: unlimited."""

    column: str
    after: Mark | None
    up_to: Mark | None


def is_exact(mark: Mark) -> bool:
    """True where no later row can have the same mark, as with ids. Several rows share one time, and some may
    be committed after they were looked for, so rows of the last time are read again, at no cost."""
    return isinstance(mark, int)


def mark_as_json(mark: Any) -> dict[str, Any] | None:
    """The mark as JSON. Raises UsageError where the column cannot serve as a mark."""
    if mark is None:
        return None
    if isinstance(mark, Decimal) and mark == mark.to_integral_value():
        mark = int(mark)
    if isinstance(mark, datetime):
        return {"kind": "datetime", "value": mark.isoformat()}
    if isinstance(mark, date):
        return {"kind": "date", "value": mark.isoformat()}
    if isinstance(mark, int | float | str) and not isinstance(mark, bool):
        return {"kind": type(mark).__name__, "value": mark}
    raise UsageError(
        f"a column of {type(mark).__name__} cannot be a watermark: take an id or a time of change."
    )


def mark_of_json(kept: dict[str, Any] | None) -> Mark | None:
    """The mark in the database's type."""
    if kept is None:
        return None
    value = kept["value"]
    if kept["kind"] == "datetime":
        return datetime.fromisoformat(value)
    if kept["kind"] == "date":
        return date.fromisoformat(value)
    mark: Mark = value
    return mark
