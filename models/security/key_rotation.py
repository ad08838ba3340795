"""Key rotation: encrypts all text under a new data key, one batch a transaction. Resumes if interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Engine, Table, Text, bindparam, cast, select, tuple_, update

from models.errors import UsageError
from models.schema import answer_tables
from models.schema.database import read_transaction, write_transaction
from models.schema.encrypted_columns import EncryptedJson, EncryptedText
from models.schema.field_encryption import ENCRYPTED_PREFIX
from models.schema.tables import Base
from models.security import audit_trail
from models.security.data_keys import DataKeyRow, keyring_of, retire_data_keys

_ROWS_A_BATCH = 500
assert answer_tables  # imported so that its encrypted columns are included


@dataclass(frozen=True, slots=True)
class KeyRotation:
    """The result of a rotation."""

    key: int
    """The number of the data key that now encrypts every value."""
    rows: int
    """Rows that this call encrypted again; an interrupted call may have done others."""
    rewrapped_keys: int


def rekey(engine: Engine, *, actor: str = "", on_rows: Callable[[int], None] = lambda _: None) -> KeyRotation:
    """Encrypts every text under a new data key, or completes an interrupted rotation. Workers may run
    meanwhile; the next call covers values that they still encrypt under the old key.

    Raises UsageError without a master key.
    """
    keyring = keyring_of(engine)
    if keyring is None:
        raise UsageError("no key: set NOTEMILL_ENCRYPTION_KEY_FILE; one is made by: openssl rand -base64 32")
    with write_transaction(engine) as connection:
        wrapped = keyring.rewrap(connection)
        in_use = select(DataKeyRow.number).where(DataKeyRow.retired_at.is_(None))
        numbers = list(connection.scalars(in_use))
        number = max(numbers) if len(numbers) > 1 else keyring.add(connection)
    keyring.reload()
    rows = 0
    for column in _encrypted_columns():
        for batch_rows in _rotate_column(engine, column, number):
            rows += batch_rows
            on_rows(rows)
    with write_transaction(engine) as connection:
        retire_data_keys(connection, number)
        subject = {"key": number, "rows": rows, "wrapped_anew": wrapped}
        audit_trail.append(connection, audit_trail.Action.REKEY, subject, actor=actor)
    return KeyRotation(number, rows, wrapped)


def _encrypted_columns() -> list[Column[Any]]:
    columns = [column for table in Base.metadata.sorted_tables for column in table.columns]
    return [column for column in columns if isinstance(column.type, EncryptedText | EncryptedJson)]


def _rotate_column(engine: Engine, column: Column[Any], number: int) -> Iterator[int]:
    """Encrypts the column batch by batch; yields the rows of each batch once it is committed."""
    table, last = column.table, None
    assert isinstance(table, Table)
    while True:
        with read_transaction(engine) as connection:
            rows = _batch(connection, table, column, number, last)
        if not rows:
            return
        key = [key_column.name for key_column in table.primary_key]
        change = update(table).where(*(table.c[name] == bindparam(f"of_{name}") for name in key))
        values = [{**{f"of_{n}": row[i] for i, n in enumerate(key)}, "new": row[-1]} for row in rows]
        with write_transaction(engine) as connection:
            connection.execute(change.values({column: bindparam("new", type_=column.type)}), values)
        last = tuple(rows[-1][:-1])
        yield len(rows)


def _batch(
    connection: Connection, table: Table, column: Column[Any], number: int, last: tuple[Any, ...] | None
) -> list[Any]:
    """The next rows, in the order of the key, that are not encrypted under the data key."""
    key = list(table.primary_key)
    stored = cast(column, Text)
    is_done = stored.startswith(f"{ENCRYPTED_PREFIX}{number}:") | stored.startswith(
        f'"{ENCRYPTED_PREFIX}{number}:'
    )
    statement = select(*key, column).where(~is_done, column.is_not(None)).order_by(*key).limit(_ROWS_A_BATCH)
    if last is not None:
        statement = statement.where(tuple_(*key) > tuple_(*last))
    return list(connection.execute(statement).all())
