"""Encryption at rest: text columns sealed with AES-GCM under a data key, the data keys under a master key.

What the columns' types do with it is in `models.schema.encrypted_columns`, where the keys are kept in `models.security.data_keys`.
Lengths, spans, labels, ids and times stay readable; so does the sha256 of each text.
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
"""Sealed values are `nmseal1:KEY:BASE64`, with the number of the data key."""
PLAIN_PREFIX = f"{ENCRYPTED_PREFIX}plain:"
"""Before text that was not sealed and itself begins with the prefix, as a note that attacks may."""
_NONCE_BYTES = 12
KEY_BYTES = 32


class KeyMissingError(NotemillError):
    """Something is sealed with a key that is not here."""

    def __init__(self) -> None:
        super().__init__(
            "the database is encrypted, and no key that is given opens it: set NOTEMILL_ENCRYPTION_KEY_FILE,"
            " NOTEMILL_ENCRYPTION_KEY_COMMAND or NOTEMILL_ENCRYPTION_KEY"
        )


class DecryptionError(NotemillError):
    """A sealed value was changed, or is not of this database."""

    def __init__(self) -> None:
        super().__init__("a sealed value in the database was changed since it was written; it is not shown")


def new_key() -> bytes:
    return AESGCM.generate_key(bit_length=8 * KEY_BYTES)


def encrypt(text: str, number: int, key: bytes) -> str:
    """The text under the data key of that number; two seals of one text differ."""
    head = f"{ENCRYPTED_PREFIX}{number}:"
    nonce = os.urandom(_NONCE_BYTES)
    sealed = AESGCM(key).encrypt(nonce, text.encode("utf-8"), head.encode())
    return head + base64.b64encode(nonce + sealed).decode("ascii")


def key_number(sealed: str) -> int:
    """Of the data key. Raises SealBrokenError."""
    number = sealed.removeprefix(ENCRYPTED_PREFIX).partition(":")[0]
    if not number.isdecimal():
        raise DecryptionError
    return int(number)


def decrypt(sealed: str, key: bytes) -> str:
    """Raises SealBrokenError where it was changed or the key is another."""
    head, _, body = sealed.rpartition(":")
    try:
        raw = base64.b64decode(body, validate=True)
        plain = AESGCM(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], f"{head}:".encode())
    except (InvalidTag, ValueError, binascii.Error):
        raise DecryptionError from None
    return plain.decode("utf-8")


def wrap(data_key: bytes, master: bytes) -> str:
    """A data key under a master key, as it is kept in the database."""
    nonce = os.urandom(_NONCE_BYTES)
    return base64.b64encode(nonce + AESGCM(master).encrypt(nonce, data_key, b"data key")).decode("ascii")


def unwrap(wrapped: str, master: bytes) -> bytes | None:
    """The data key; none where the master key is another."""
    raw = base64.b64decode(wrapped)
    try:
        return AESGCM(master).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], b"data key")
    except InvalidTag:
        return None


def key_fingerprint(master: bytes) -> str:
    """16 hex digits that tell master keys apart and give nothing of them away."""
    return hashlib.sha256(b"notemill master key" + master).hexdigest()[:16]
