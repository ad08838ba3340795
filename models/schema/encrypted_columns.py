"""Columns whose values are sealed where the database has keys, and plain where it has none.

The keys come with the engine's own dialect (`models.schema.database.connect`), so that no global holds them.
"""

from __future__ import annotations

import json
from typing import Any, Protocol, cast

from sqlalchemy import JSON, Dialect, Text
from sqlalchemy.types import TypeDecorator

from models.schema.field_encryption import ENCRYPTED_PREFIX, PLAIN_PREFIX, KeyMissingError

KEYRING_ATTRIBUTE = "notemill_keyring"
"""Of the dialect."""


class TextCipher(Protocol):
    """What the types need of `models.security.data_keys.Keyring`."""

    def encrypt_text(self, text: str) -> str: ...
    def decrypt_text(self, encrypt_text: str) -> str: ...


def encrypt_text(text: str, dialect: Dialect) -> str:
    """As it is stored."""
    keyring = cast("TextCipher | None", getattr(dialect, KEYRING_ATTRIBUTE, None))
    if keyring is not None:
        return keyring.encrypt(text)
    return PLAIN_PREFIX + text if text.startswith(ENCRYPTED_PREFIX) else text


def decrypt_text(stored: str, dialect: Dialect) -> str:
    """As it was. Raises KeyMissingError or SealBrokenError."""
    if not stored.startswith(ENCRYPTED_PREFIX):
        return stored
    if stored.startswith(PLAIN_PREFIX):
        return stored.removeprefix(PLAIN_PREFIX)
    keyring = cast("TextCipher | None", getattr(dialect, KEYRING_ATTRIBUTE, None))
    if keyring is None:
        raise KeyMissingError
    return keyring.decrypt(stored)


class EncryptedText(TypeDecorator[str]):
    """Text of a note or of an answer."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else encrypt_text(value, dialect)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else decrypt_text(value, dialect)


class EncryptedJson(TypeDecorator[Any]):
    """JSON that holds text of an answer: sealed, it is one JSON string."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        is_plain = value is None or getattr(dialect, KEYRING_ATTRIBUTE, None) is None
        return value if is_plain else encrypt_text(json.dumps(value, ensure_ascii=False), dialect)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return json.loads(decrypt_text(value, dialect)) if isinstance(value, str) else value
