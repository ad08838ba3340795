"""Database connection, SQLite or PostgreSQL, and its read and write transactions.

Errors raised here hold no values: a driver's message may quote a row, and a row may be a note.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from json import dumps
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError

from models.errors import NotemillError

BUSY_TIMEOUT_SECONDS = 30.0
"""The longest wait of a SQLite writer for the lock; a batch of 500 documents holds it about 0.1 s."""
IDLE_TRANSACTION_SECONDS = 30.0
"""PostgreSQL ends a write transaction that is idle for so long: a frozen or disconnected process would hold
row locks that cancel, submit and other workers wait for."""
POOL_SIZE = 20
"""Pooled connections: for the default 16 worker threads, their heartbeat and the sweep."""
WRITE_AHEAD_BYTES = 64 * 2**20
"""The size to which SQLite truncates its write-ahead log after a checkpoint: without a limit, a run of
100,000 documents left a log of twice the database's size."""
OLDEST_SQLITE = (3, 35, 0)
"""The first version with RETURNING, which the store uses."""

_SQLITE_FORM = "sqlite:////folder/notemill.db"
_POSTGRESQL_FORM = "postgresql://USER:PASSWORD@HOST/DATABASE"
_FORMS = f"NOTEMILL_DATABASE_URL is {_SQLITE_FORM} or {_POSTGRESQL_FORM}."
_MISSING_TABLE_OR_COLUMN = {"42P01", "42703"}
"""PostgreSQL's codes for an undefined table and an undefined column."""


class DatabaseError(NotemillError):
    """The database is not usable, or it refused a row."""


class DatabaseUnavailableError(DatabaseError):
    """The database does not answer now; a later call may succeed."""


def connect(url: str) -> Engine:
    """Connects to a `sqlite:///PATH`, `postgresql://…` or `postgres://…` URL and returns the engine.

    Creates a missing SQLite file with mode 0600, and its folder with mode 0700.
    Raises DatabaseError if the URL is not usable, DatabaseUnavailableError if the database does not answer.
    """
    parsed = _parsed(url)
    engine = _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _postgresql(parsed)
    with read_transaction(engine):
        return engine


@contextmanager
def read_transaction(engine: Engine) -> Iterator[Connection]:
    """A connection for reads; on SQLite it sees one snapshot of the database."""
    with _without_values(engine), engine.connect() as connection:
        yield connection


@contextmanager
def write_transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction: commits at the end of the block, rolls back if the block raises."""
    with _without_values(engine), engine.execution_options(is_writing=True).begin() as connection:
        yield connection


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise DatabaseError(f"the database URL cannot be read. {_FORMS}") from None
    if parsed.drivername in {"postgres", "postgresql", "postgresql+psycopg"}:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in {"sqlite", "sqlite+pysqlite"}:
        raise DatabaseError(f"{parsed.drivername!r} is no database that notemill knows. {_FORMS}")
    if not parsed.database or parsed.database == ":memory:" or parsed.query:
        raise DatabaseError(f"a SQLite database has to be a file. {_FORMS}")
    return parsed


def _sqlite(url: URL) -> Engine:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise DatabaseError(f"Python's SQLite is {sqlite3.sqlite_version}; notemill needs {oldest} or newer.")
    path = Path(url.database or "").expanduser().absolute()
    _create_private(path)
    engine = _engine(
        url.set(database=str(path)), connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "isolation_level": None}
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _postgresql(url: URL) -> Engine:
    engine = _engine(url, pool_pre_ping=True, connect_args={"application_name": "notemill"})
    event.listen(engine, "begin", _begin_postgresql)
    return engine


def _engine(url: URL, **options: Any) -> Engine:
    return create_engine(
        url,
        hide_parameters=True,
        json_serializer=partial(dumps, allow_nan=False),
        pool_size=POOL_SIZE,
        max_overflow=POOL_SIZE,
        pool_timeout=60,
        **options,
    )


def _create_private(path: Path) -> None:
    """Creates the database file for its owner only; SQLite gives its -wal and -shm files the same mode.

    Does not open an existing file: closing it would drop the POSIX locks of this process's other
    connections (section 2.2 of https://www.sqlite.org/howtocorrupt.html).
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise DatabaseError(f"cannot open the database file {path}: {error.strerror}. {_FORMS}") from None
    if not path.is_file() or not os.access(path, os.R_OK | os.W_OK):
        raise DatabaseError(f"{path} is no file that can be read and written. {_FORMS}")


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        connection.execute("PRAGMA journal_mode = WAL")
    # FULL, not NORMAL: a registration that `submit` has reported survives a power failure.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {WRITE_AHEAD_BYTES}")
    # Overwrites deleted and replaced content with zeros.
    connection.execute("PRAGMA secure_delete = ON")


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes its lock first, and waits for it if needed. A transaction that reads first and writes
    # later fails with "database is locked" at once, whatever the timeout.
    is_writing = connection.get_execution_options().get("is_writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")


def _begin_postgresql(connection: Connection) -> None:
    # Only for this transaction: an export may wait for its reader, and a pooler may share the session.
    if connection.get_execution_options().get("is_writing", False):
        milliseconds = round(IDLE_TRANSACTION_SECONDS * 1_000)
        connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {milliseconds}")


@contextmanager
def _without_values(engine: Engine) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise _without_row(error, engine.url.render_as_string(hide_password=True)) from None


def _without_row(error: DBAPIError, url: str) -> DatabaseError:
    first_line = str(error.orig).strip().partition("\n")[0]
    code = getattr(error.orig, "sqlstate", None)
    if code in _MISSING_TABLE_OR_COLUMN or first_line.startswith(("no such table", "no such column")):
        return DatabaseError(
            f"the tables in {url} are not those of this notemill: type `notemill db upgrade`."
        )
    if error.connection_invalidated or isinstance(error, OperationalError | InterfaceError):
        return DatabaseUnavailableError(f"the database {url} cannot be used now: {first_line}")
    if type(error.orig) is sqlite3.DatabaseError:  # not a subclass: the file itself is damaged
        return DatabaseError(f"the database {url} cannot be used: {first_line}")
    constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    named = f" ({constraint or code or first_line.partition(':')[2].strip()})"
    return DatabaseError(f"the database refused a row: {type(error.orig).__name__}{named}")
