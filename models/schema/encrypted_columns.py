"""Column types that encrypt their values if the database has keys, and store plain text if it has none.

The keys are an attribute of the engine's dialect (`models.security.data_keys`), so that no global holds them.
"""

from __future__ import annotations

import json
from typing import Any, Protocol, cast

from sqlalchemy import JSON, Dialect, Text
from sqlalchemy.types import TypeDecorator

from models.schema.field_encryption import ENCRYPTED_PREFIX, PLAIN_PREFIX, KeyMissingError

KEYRING_ATTRIBUTE = "notemill_keyring"
"""The dialect's attribute that holds the keyring."""


class TextCipher(Protocol):
    """The methods of `models.security.data_keys.Keyring` that the column types call."""

    def encrypt(self, text: str) -> str: ...
    def decrypt(self, stored: str) -> str: ...


def encrypt_text(text: str, dialect: Dialect) -> str:
    """The value to store for a text."""
    keyring = cast("TextCipher | None", getattr(dialect, KEYRING_ATTRIBUTE, None))
    if keyring is not None:
        return keyring.encrypt(text)
    return PLAIN_PREFIX + text if text.startswith(ENCRYPTED_PREFIX) else text


def decrypt_text(stored: str, dialect: Dialect) -> str:
    """The text of a stored value. Raises KeyMissingError or DecryptionError."""
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
    """JSON with text of an answer; encrypted, it is one JSON string."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        is_plain = value is None or getattr(dialect, KEYRING_ATTRIBUTE, None) is None
        return value if is_plain else encrypt_text(json.dumps(value, ensure_ascii=False), dialect)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return json.loads(decrypt_text(value, dialect)) if isinstance(value, str) else value
