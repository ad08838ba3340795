"""What is new in a table: the rows whose mark (an id that grows, a time of change) is beyond the last one's.

Pure: knows no database. A mark is kept between nights as JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from models.errors import UsageError

Mark = int | float | str | date | datetime


@dataclass(frozen=True, slots=True)
class Window:
    """Of one column, the values after one mark and up to another, that one included; none: without end."""

    column: str
    after: Mark | None
    up_to: Mark | None


def is_exact(mark: Mark) -> bool:
    """No later row can have the same mark, as with ids. Several rows have one time, and some of them may be
    committed after they were looked for, so those of the last time are read again, at no cost."""
    return isinstance(mark, int)


def mark_as_json(mark: Any) -> dict[str, Any] | None:
    """Raises UsageError where the column cannot serve as a mark."""
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
    """The mark as the database takes it."""
    if kept is None:
        return None
    value = kept["value"]
    if kept["kind"] == "datetime":
        return datetime.fromisoformat(value)
    if kept["kind"] == "date":
        return date.fromisoformat(value)
    mark: Mark = value
    return mark
