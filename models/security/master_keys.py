"""Master keys from the settings: given directly, from a file, or from a command's output."""

from __future__ import annotations

import base64
import binascii
import shlex
import subprocess

from models.errors import UsageError
from models.schema.field_encryption import KEY_BYTES
from models.settings import Settings

_COMMAND_SECONDS = 60


class MasterKeyError(UsageError):
    """The master key is not readable or not valid."""


def master_keys(settings: Settings) -> tuple[bytes, ...]:
    """All given keys, in their order: the first one wraps data keys, the others only unwrap. Empty without
    encryption. Raises MasterKeyError, whose message never holds a key."""
    given = settings.encryption_key.get_secret_value().split()
    if settings.encryption_key_file is not None:
        given += _from_file(settings).split()
    if settings.encryption_key_command:
        given += _from_command(settings.encryption_key_command).split()
    keys = tuple(map(_decoded, given))
    is_wanted = settings.encryption_key_file is not None or settings.encryption_key_command
    if is_wanted and not keys:
        raise MasterKeyError("the master key is empty. One is made by: openssl rand -base64 32")
    return keys


def _from_file(settings: Settings) -> str:
    path = settings.encryption_key_file
    assert path is not None
    try:
        return path.expanduser().read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise MasterKeyError(f"cannot read NOTEMILL_ENCRYPTION_KEY_FILE {path}: {reason}") from None


def _from_command(command: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603  the operator's own command, no shell
            shlex.split(command), capture_output=True, timeout=_COMMAND_SECONDS, check=False, text=True
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise MasterKeyError(f"NOTEMILL_ENCRYPTION_KEY_COMMAND fails: {type(error).__name__}") from None
    if done.returncode:
        raise MasterKeyError(f"NOTEMILL_ENCRYPTION_KEY_COMMAND ends with status {done.returncode}")
    return done.stdout


def _decoded(word: str) -> bytes:
    try:
        key = bytes.fromhex(word) if len(word) == 2 * KEY_BYTES else base64.b64decode(word, validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise MasterKeyError(f"a master key is {KEY_BYTES} bytes in base64: openssl rand -base64 32")
    return key
