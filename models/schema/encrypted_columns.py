"""Columns whose values are sealed where the database has keys, and plain where it has none.

The keys come with the engine's own dialect (`models.schema.database.connect`), so that no global holds them.
"""

from __future__ import annotations

import json
from typing import Any, Protocol, cast

from sqlalchemy import JSON, Dialect, Text
from sqlalchemy.types import TypeDecorator

from models.schema.field_encryption import PLAIN, PREFIX, KeyMissingError

ATTRIBUTE = "notemill_keyring"
"""Of the dialect."""


class Opener(Protocol):
    """What the types need of `models.security.data_keys.Keyring`."""

    def sealed(self, text: str) -> str: ...
    def opened(self, sealed: str) -> str: ...


def sealed(text: str, dialect: Dialect) -> str:
    """As it is stored."""
    keyring = cast("Opener | None", getattr(dialect, ATTRIBUTE, None))
    if keyring is not None:
        return keyring.sealed(text)
    return PLAIN + text if text.startswith(PREFIX) else text


def opened(stored: str, dialect: Dialect) -> str:
    """As it was. Raises KeyMissingError or SealBrokenError."""
    if not stored.startswith(PREFIX):
        return stored
    if stored.startswith(PLAIN):
        return stored.removeprefix(PLAIN)
    keyring = cast("Opener | None", getattr(dialect, ATTRIBUTE, None))
    if keyring is None:
        raise KeyMissingError
    return keyring.opened(stored)


class SealedText(TypeDecorator[str]):
    """Text of a note or of an answer."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else sealed(value, dialect)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else opened(value, dialect)


class SealedJson(TypeDecorator[Any]):
    """JSON that holds text of an answer: sealed, it is one JSON string."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        is_plain = value is None or getattr(dialect, ATTRIBUTE, None) is None
        return value if is_plain else sealed(json.dumps(value, ensure_ascii=False), dialect)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return json.loads(opened(value, dialect)) if isinstance(value, str) else value
