"""Field encryption at rest: AES-GCM for text under a data key, and for data keys under a master key.

`models.schema.encrypted_columns` applies it to columns; `models.security.data_keys` stores the data keys.
Lengths, spans, labels, ids, times and the sha256 of each text stay readable.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from models.errors import NotemillError

ENCRYPTED_PREFIX = "nmseal1:"
"""Encrypted values are `nmseal1:KEY:BASE64`, with the number of the data key."""
PLAIN_PREFIX = f"{ENCRYPTED_PREFIX}plain:"
"""Precedes plain text that itself starts with the prefix, as a malicious note may."""
_NONCE_BYTES = 12
KEY_BYTES = 32


class KeyMissingError(NotemillError):
    """A value is encrypted with a key that is not available."""

    def __init__(self) -> None:
        super().__init__(
            "the database is encrypted, and no key that is given opens it: set NOTEMILL_ENCRYPTION_KEY_FILE,"
            " NOTEMILL_ENCRYPTION_KEY_COMMAND or NOTEMILL_ENCRYPTION_KEY"
        )


class DecryptionError(NotemillError):
    """An encrypted value was changed, or is from another database."""

    def __init__(self) -> None:
        super().__init__(
            "an encrypted value in the database was changed since it was written; it is not shown"
        )


def new_key() -> bytes:
    return AESGCM.generate_key(bit_length=8 * KEY_BYTES)


def encrypt(text: str, number: int, key: bytes) -> str:
    """Encrypts a text under the data key with this number; two encryptions of one text differ."""
    head = f"{ENCRYPTED_PREFIX}{number}:"
    nonce = os.urandom(_NONCE_BYTES)
    ciphertext = AESGCM(key).encrypt(nonce, text.encode("utf-8"), head.encode())
    return head + base64.b64encode(nonce + ciphertext).decode("ascii")


def key_number(stored: str) -> int:
    """The number of the data key of an encrypted value. Raises DecryptionError."""
    number = stored.removeprefix(ENCRYPTED_PREFIX).partition(":")[0]
    if not number.isdecimal():
        raise DecryptionError
    return int(number)


def decrypt(stored: str, key: bytes) -> str:
    """The text of an encrypted value. Raises DecryptionError if it was changed or has another key."""
    head, _, body = stored.rpartition(":")
    try:
        raw = base64.b64decode(body, validate=True)
        plain = AESGCM(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], f"{head}:".encode())
    except (InvalidTag, ValueError, binascii.Error):
        raise DecryptionError from None
    return plain.decode("utf-8")


def wrap(data_key: bytes, master: bytes) -> str:
    """Encrypts a data key under a master key, for storage in the database."""
    nonce = os.urandom(_NONCE_BYTES)
    return base64.b64encode(nonce + AESGCM(master).encrypt(nonce, data_key, b"data key")).decode("ascii")


def unwrap(wrapped: str, master: bytes) -> bytes | None:
    """Decrypts a data key; None if another master key encrypted it."""
    raw = base64.b64decode(wrapped)
    try:
        return AESGCM(master).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], b"data key")
    except InvalidTag:
        return None


def key_fingerprint(master: bytes) -> str:
    """16 hex digits that identify a master key without revealing it."""
    return hashlib.sha256(b"notemill master key" + master).hexdigest()[:16]
