"""Secure overwriting: removes deleted rows from the database's files after an erasure.

Does not reach disk blocks that a file released, backups and replicas.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, PoolProxiedConnection, text

from models.schema.database import BUSY_TIMEOUT_SECONDS
from models.schema.tables import Base

_SECONDS_BETWEEN_ATTEMPTS = 0.2


@dataclass(frozen=True, slots=True)
class OverwriteResult:
    """The result of overwriting."""

    is_complete: bool
    words: str
    """A sentence for the receipt: what was done, or what prevented it and what to type."""


def overwrite(engine: Engine, *, is_rewriting: bool) -> OverwriteResult:
    """SQLite: empties the write-ahead log and rewrites the file, so that no free page or gap holds text.

    PostgreSQL: vacuums; with `is_rewriting`, rewrites every table, which locks each table meanwhile.
    """
    if engine.dialect.name == "sqlite":
        return _sqlite(engine)
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        option = "(FULL) " if is_rewriting else ""
        for table in Base.metadata.sorted_tables:
            connection.execute(text(f"VACUUM {option}{table.name}"))
        if _may_checkpoint(connection):
            connection.execute(text("CHECKPOINT"))
    if is_rewriting:
        return OverwriteResult(
            True, "every table rewritten; the write-ahead log and backups follow your own retention"
        )
    return OverwriteResult(
        False, "rows removed by VACUUM; their old pages stay until used again, unless --rewrite is given"
    )


def _sqlite(engine: Engine) -> OverwriteResult:
    # VACUUM copies the database to an unnamed file: beside the database, not on the disk of /var/tmp.
    folder = str(Path(engine.url.database or "").parent).replace("'", "''")
    raw = engine.raw_connection()
    try:
        raw.cursor().execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_SECONDS * 1000)}")
        raw.cursor().execute(f"PRAGMA temp_store_directory = '{folder}'")
        deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
        if _is_log_empty(raw, deadline):
            raw.cursor().execute("VACUUM")
            if _is_log_empty(raw, deadline):
                return OverwriteResult(True, "the file was rewritten, its write-ahead log emptied")
    except sqlite3.OperationalError:  # locked for longer than the timeout, or the disk is full
        pass
    finally:
        raw.close()
    return OverwriteResult(
        False, "the database is in use or its disk is full: put that right, then type the same again"
    )


def _is_log_empty(raw: PoolProxiedConnection, deadline: float) -> bool:
    """Empties the log; False if a reader still uses it at the deadline."""
    while raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        if time.monotonic() > deadline:
            return False
        time.sleep(_SECONDS_BETWEEN_ATTEMPTS)
    return True


def _may_checkpoint(connection: Connection) -> bool:
    statement = text("SELECT pg_has_role(current_user, 'pg_checkpoint', 'MEMBER')")
    return bool(connection.scalars(statement).one())
