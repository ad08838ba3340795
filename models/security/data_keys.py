"""Data keys of one database: creation, unwrapping, rewrapping and retirement.

The database stores each data key wrapped under a master key, and never a master key. The newest data key
encrypts; older ones only decrypt.
"""

from __future__ import annotations

import threading
from datetime import datetime

from sqlalchemy import Connection, Engine, delete, func, insert, inspect, select, update
from sqlalchemy.orm import Mapped, mapped_column

from models.schema.database import read_transaction, write_transaction
from models.schema.database_clock import utc_now
from models.schema.encrypted_columns import KEYRING_ATTRIBUTE
from models.schema.field_encryption import (
    KeyMissingError,
    decrypt,
    encrypt,
    key_fingerprint,
    key_number,
    new_key,
    unwrap,
    wrap,
)
from models.schema.tables import Base


class DataKeyRow(Base):
    """A wrapped data key."""

    __tablename__ = "data_keys"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    wrapped: Mapped[str]
    master: Mapped[str]
    """The fingerprint of the master key that wraps it."""
    created_at: Mapped[datetime] = mapped_column(default=utc_now())
    retired_at: Mapped[datetime | None]
    """The time when no value was encrypted under it any more."""


class Keyring:
    """The unwrapped data keys; safe to share between threads. Reads the database for unknown numbers."""

    def __init__(self, engine: Engine, masters: tuple[bytes, ...]) -> None:
        """`masters`: the first one wraps new data keys; all of them unwrap."""
        self._engine = engine
        self._masters = masters
        self._keys: dict[int, bytes] = {}
        self._lock = threading.Lock()

    def encrypt(self, text: str) -> str:
        newest = max(self._keys or self._loaded())
        return encrypt(text, newest, self._keys[newest])

    def decrypt(self, stored: str) -> str:
        number = key_number(stored)
        if number not in self._keys and number not in self._loaded():
            raise KeyMissingError
        return decrypt(stored, self._keys[number])

    def add(self, connection: Connection) -> int:
        """Creates a data key, the newest one after the commit and the next `reload`; returns its number."""
        number = (connection.scalars(select(func.max(DataKeyRow.number))).one() or 0) + 1
        first = self._masters[0]
        row = {"number": number, "wrapped": wrap(new_key(), first), "master": key_fingerprint(first)}
        connection.execute(insert(DataKeyRow).values(**row))
        return number

    def rewrap(self, connection: Connection) -> int:
        """Wraps data keys of older master keys under the first one; returns their number."""
        first, count = self._masters[0], 0
        stored = connection.execute(select(DataKeyRow.number, DataKeyRow.master)).all()
        for row in stored:
            if row.master != key_fingerprint(first):
                new = {"wrapped": wrap(self._keys[row.number], first), "master": key_fingerprint(first)}
                connection.execute(update(DataKeyRow).where(DataKeyRow.number == row.number).values(**new))
                count += 1
        return count

    def reload(self) -> None:
        self._loaded()

    def _loaded(self) -> dict[int, bytes]:
        with read_transaction(self._engine) as connection:
            stored = connection.execute(select(DataKeyRow.number, DataKeyRow.wrapped)).all()
        keys = {row.number: self._unwrapped(row.wrapped) for row in stored}
        with self._lock:
            self._keys = keys
        if not keys:
            raise KeyMissingError
        return keys

    def _unwrapped(self, wrapped: str) -> bytes:
        for master in self._masters:
            if (key := unwrap(wrapped, master)) is not None:
                return key
        raise KeyMissingError


def keyring_of(engine: Engine) -> Keyring | None:
    keyring = getattr(engine.dialect, KEYRING_ATTRIBUTE, None)
    return keyring if isinstance(keyring, Keyring) else None


def install_keyring(engine: Engine, masters: tuple[bytes, ...]) -> None:
    """Makes the engine encrypt and decrypt text with these master keys; without any, does nothing."""
    if masters:
        setattr(engine.dialect, KEYRING_ATTRIBUTE, Keyring(engine, masters))


def prepare_data_keys(engine: Engine) -> None:
    """Reads the data keys; creates the first one if a master key is given. Raises KeyMissingError if the
    database is encrypted and no given master key unwraps its keys: new text would be stored as plain text."""
    keyring = keyring_of(engine)
    if not inspect(engine).has_table(DataKeyRow.__tablename__):
        return
    is_encrypted = select(func.count()).select_from(DataKeyRow)
    with read_transaction(engine) as connection:
        has_keys = bool(connection.scalars(is_encrypted).one())
    if keyring is None:
        if has_keys:
            raise KeyMissingError
        return
    if not has_keys:
        with write_transaction(engine) as connection:
            if not connection.scalars(is_encrypted).one():
                keyring.add(connection)
    keyring.reload()


def retire_data_keys(connection: Connection, before: int) -> None:
    """Retires the keys with a lower number, under which no value is encrypted any more; deletes those that
    were retired before."""
    connection.execute(
        delete(DataKeyRow).where(DataKeyRow.number < before, DataKeyRow.retired_at.is_not(None))
    )
    older = update(DataKeyRow).where(DataKeyRow.number < before)
    connection.execute(older.values(retired_at=utc_now()))
