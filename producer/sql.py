"""The rows of a SQL query on any database that SQLAlchemy knows, through a server-side cursor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import URL, CursorResult, make_url

from models.documents import Document, Refused
from models.errors import NotemillError, UsageError
from producer.columns import ColumnChoice
from producer.records import Origin, as_document

_POSTGRESQL = {"postgres", "postgresql"}
ROWS_AT_A_TIME = 200
"""Fetched together; of 200 kB notes these are 40 MB."""


@dataclass(frozen=True, slots=True)
class SqlQuery:
    """A source: what `--sql URL --query "…"` says."""

    url: str = field(repr=False)
    """Any SQLAlchemy URL; never shown, for it may hold a password."""
    query: str

    @property
    def shown(self) -> str:
        """The database without user, password or options."""
        url = _parsed(self.url)
        shown = URL.create(url.get_backend_name(), host=url.host, port=url.port, database=url.database)
        return shown.render_as_string()


def read_sql(source: SqlQuery, choice: ColumnChoice) -> Iterator[Document | Refused]:
    """The documents of the query's rows, each under its 1-based row.

    The query is sent as it was typed: colons and percent signs mean what they mean to the database.
    Raises UsageError where the database or the query is wrong, NotemillError where the connection
    breaks on the way.
    """
    url = _parsed(source.url)
    origin = Origin(source=source.shown, name=url.database.rpartition("/")[2] if url.database else "sql")
    with _connected(url, origin) as connection:
        result = _executed(connection, source, origin)
        names = list(result.keys())
        columns = choice.among(names, f"the query on {origin.source}")
        for number, row in enumerate(_fetched(result, origin), start=1):
            yield as_document(dict(zip(names, row, strict=True)), columns, origin, number)


@contextmanager
def _connected(url: URL, origin: Origin) -> Iterator[sa.Connection]:
    if url.get_backend_name() == "sqlite":
        _check_sqlite_file(url, origin)
    try:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
    except (exc.ArgumentError, ImportError) as error:
        raise UsageError(f"cannot use the database {origin.source}: {_first_line(error)}") from None
    if url.get_backend_name() == "sqlite":
        sa.event.listen(engine, "connect", _keep_bad_bytes)
    try:
        connection = engine.connect()
    except exc.SQLAlchemyError as error:
        raise UsageError(f"cannot connect to {origin.source}: {_first_line(error)}") from None
    try:
        yield connection
    finally:
        connection.close()
        engine.dispose()


def _executed(connection: sa.Connection, source: SqlQuery, origin: Origin) -> CursorResult[Any]:
    # no_parameters: psycopg then leaves percent signs in `LIKE '%x%'` alone.
    options = {"stream_results": True, "yield_per": ROWS_AT_A_TIME, "no_parameters": True}
    try:
        result = connection.exec_driver_sql(source.query, execution_options=options)
    except (exc.ProgrammingError, exc.OperationalError) as error:
        raise UsageError(f"the query on {origin.source} does not work: {_first_line(error)}") from None
    except exc.SQLAlchemyError as error:  # a data error's message quotes the data
        raise UsageError(f"the query on {origin.source} does not work: {_kind(error)}") from None
    if not result.returns_rows:
        raise UsageError("the query returns no rows. Type a SELECT: --query 'SELECT id, text FROM notes'")
    return result


def _fetched(result: CursorResult[Any], origin: Origin) -> Iterator[sa.Row[Any]]:
    number = 0
    try:
        for row in result:
            number += 1
            yield row
    except exc.SQLAlchemyError as error:
        raise NotemillError(
            f"{origin.source} stopped after {number} rows ({_kind(error)}). What was read is"
            " registered; the same command again goes on from there at no cost."
        ) from None


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):
        raise UsageError(
            "that is no database URL. For example: --sql postgresql+psycopg://user@host/archive"
        ) from None
    # The driver that notemill brings; `postgres` is how hosting services write it.
    return parsed.set(drivername="postgresql+psycopg") if parsed.drivername in _POSTGRESQL else parsed


def _check_sqlite_file(url: URL, origin: Origin) -> None:
    """SQLite would create what is missing, and then find no table in it."""
    path = url.database
    if path and path != ":memory:" and not path.startswith("file:") and not Path(path).is_file():
        raise UsageError(f"there is no database file {path} (from {origin.source}).")


def _keep_bad_bytes(connection: Any, _record: Any) -> None:
    # sqlite3 would end the whole query at the first text that is no UTF-8; this way its row is refused.
    connection.text_factory = lambda content: content.decode("utf-8", "surrogateescape")


def _first_line(error: BaseException) -> str:
    cause = getattr(error, "orig", None) or error
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]


def _kind(error: BaseException) -> str:
    return type(getattr(error, "orig", None) or error).__name__
