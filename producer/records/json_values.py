"""Any value of a source as a JSON value, so that further columns can be kept as metadata."""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 50
"""Deepest nesting of metadata; a deeper one would overflow the stack of its reader."""


class NotJsonError(Exception):
    """A value that metadata cannot hold; `reason` is short and fixed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def as_json(value: Any, depth: int = 0) -> Any:
    """The value as JSON: dates as ISO 8601, NaN and infinity as null, decimals as numbers where exact.

    Raises NotJsonError for bytes, for text that is not Unicode or holds NUL (PostgreSQL stores neither),
    and for nesting deeper than MAX_DEPTH.
    """
    if depth > MAX_DEPTH:
        raise NotJsonError("nested too deeply")
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return checked_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes | bytearray | memoryview):
        raise NotJsonError("bytes in a column")
    if isinstance(value, Mapping):
        return {checked_text(str(key)): as_json(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(item, depth + 1) for item in value]
    return _scalar(value)


def checked_text(text: str) -> str:
    """The same text. Raises NotJsonError where no database could hold it."""
    if "\x00" in text:
        raise NotJsonError("a NUL character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise NotJsonError("invalid Unicode") from None
    return text


def _scalar(value: Any) -> Any:
    if isinstance(value, datetime.date | datetime.time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return _decimal(value)
    return checked_text(str(value))  # timedelta, UUID, network addresses, ranges


def _decimal(value: decimal.Decimal) -> int | float | str | None:
    if not value.is_finite():
        return None
    if value == value.to_integral_value() and abs(value.adjusted()) < 40:
        return int(value)
    return float(value) if decimal.Decimal(str(float(value))) == value else str(value)
