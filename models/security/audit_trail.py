"""The audit trail: who did what to which ids, and when; a hash chain links each row to the one before.

The database refuses to change or delete a row. Rows hold ids, counts and fixed words, never text, queries
or names of patients.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, select, text
from sqlalchemy.orm import Mapped, mapped_column

from models.schema.database import read_transaction
from models.schema.tables import Base

FIRST_HASH = "0" * 64
"""The previous hash of the first row."""
_LOCK_NUMBER = 0x6175646974
_ROWS_A_FETCH = 1_000


class Action(StrEnum):
    """The audited actions."""

    SUBMIT = "submit"
    SHOW = "show"
    RESULTS = "results"
    EXPORT = "export"
    CORRECT = "correct"
    SQL = "sql"
    PURGE = "purge"
    RETRY = "retry"
    CANCEL = "cancel"
    REKEY = "rekey"
    ADOPT = "adopt"
    UNADOPT = "unadopt"


class AuditRow(Base):
    """One audited action."""

    __tablename__ = "audit"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """1, 2, 3 …; a missing number shows a deleted row."""
    at: Mapped[str]
    """ISO 8601 in UTC, by the clock of the acting machine."""
    actor: Mapped[str]
    """NOTEMILL_ACTOR, else the operating system's USER@HOST."""
    database_user: Mapped[str]
    """The database's user; '' on SQLite, which has none."""
    action: Mapped[str]
    subject: Mapped[str]
    """Canonical JSON: ids and counts."""
    previous_hash: Mapped[str]
    hash: Mapped[str]
    """sha256 over all other columns."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One row of the audit trail."""

    number: int
    at: str
    actor: str
    database_user: str
    action: str
    subject: str
    previous_hash: str
    hash: str

    @property
    def true_hash(self) -> str:
        """The hash that the row must have."""
        parts = [self.number, self.at, self.actor, self.database_user, self.action, self.subject]
        return hashlib.sha256(json.dumps([self.previous_hash, *parts]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ChainVerification:
    """The result of verifying the hash chain."""

    rows: int
    head: str
    """The hash of the last row; a copy kept elsewhere later shows that no row was changed or deleted."""
    broken_at: int | None
    """The first number whose row does not follow from the one before."""
    has_seen: bool
    """The expected hash is in the chain."""


def append(connection: Connection, action: Action, subject: Mapping[str, Any], *, actor: str = "") -> None:
    """Adds a row in the transaction of the action itself, so that both commit or neither does."""
    database_user = ""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK_NUMBER)))
        database_user = connection.scalars(text("SELECT CAST(session_user AS text)")).one()
    last = select(AuditRow.number, AuditRow.hash).order_by(AuditRow.number.desc()).limit(1)
    before = connection.execute(last).one_or_none()
    entry = AuditEntry(
        number=before.number + 1 if before else 1,
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        actor=actor or operating_system_user(),
        database_user=database_user,
        action=action.value,
        subject=json.dumps(subject, sort_keys=True, separators=(",", ":"), allow_nan=False),
        previous_hash=before.hash if before else FIRST_HASH,
        hash="",
    )
    row = {name: getattr(entry, name) for name in AuditEntry.__dataclass_fields__}
    connection.execute(insert(AuditRow).values(**row | {"hash": entry.true_hash}))


def entries(engine: Engine, *, last: int | None = None, action: Action | None = None) -> Iterator[AuditEntry]:
    """Streams the rows from first to last; with `last`, only so many of the newest."""
    columns = [AuditRow.__table__.c[name] for name in AuditEntry.__dataclass_fields__]
    statement = select(*columns)
    if action is not None:
        statement = statement.where(AuditRow.action == action.value)
    if last is not None:
        statement = select(statement.order_by(AuditRow.number.desc()).limit(last).subquery())
    options = {"stream_results": True, "yield_per": _ROWS_A_FETCH}
    with read_transaction(engine) as connection:
        for row in connection.execute(statement.order_by(text("number")), execution_options=options):
            yield AuditEntry(*row)


def verify(engine: Engine, seen: str = FIRST_HASH) -> ChainVerification:
    """Verifies the whole chain. `seen`: a hash noted earlier, which must be in it."""
    rows, head, has_seen = 0, FIRST_HASH, seen == FIRST_HASH
    for entry in entries(engine):
        is_next = entry.number == rows + 1 and entry.previous_hash == head
        if not is_next or entry.hash != entry.true_hash:
            return ChainVerification(rows, head, rows + 1, has_seen)
        rows, head = rows + 1, entry.hash
        has_seen = has_seen or head == seen
    return ChainVerification(rows, head, None, has_seen)


def operating_system_user() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a container's user may have no name
        return f"?@{socket.gethostname()}"
