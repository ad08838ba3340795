"""Rows of a SQL query on any database that SQLAlchemy supports, through a server-side cursor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import CursorResult

from models.documents import Document, Refused
from models.errors import NotemillError, UsageError
from producer.records.columns import ColumnChoice
from producer.records.records import Origin, as_document
from producer.records.table_presets import Preset
from producer.sources.preset_tables import queries_of
from producer.sources.sql_connection import connected, first_line, kind, parsed, shown
from producer.sources.watermark import WatermarkWindow, is_exact

ROWS_AT_A_TIME = 200
"""Rows fetched together; with notes of 200 kB these are 40 MB."""


@dataclass(frozen=True, slots=True)
class SqlQuery:
    """A source: `--sql URL --query "…"` or `--sql URL --preset NAME`."""

    url: str = field(repr=False)
    """Any SQLAlchemy URL; never shown, since it may hold a password."""
    query: str = ""
    """The query; empty: the whole tables of the preset."""
    preset: Preset | None = None
    window: WatermarkWindow | None = None
    """Only rows in this window of one column; None: all."""

    @property
    def shown(self) -> str:
        """The database without user, password or options."""
        return shown(parsed(self.url))


def read_sql(source: SqlQuery, choice: ColumnChoice) -> Iterator[Document | Refused]:
    """The documents of the query's rows, each under its 1-based row.

    The query is sent as it was typed: colons and percent signs mean what they mean to the database.
    Raises UsageError where the database or the query is wrong, NotemillError where the connection
    breaks on the way.
    """
    choice = choice if source.preset is None else replace(choice, preset=source.preset)
    origin = _origin(source)
    with connected(parsed(source.url), origin) as connection:
        for query in _queries(connection, source, origin):
            result = _executed(connection, query, source.window, origin)
            names = list(result.keys())
            columns = choice.among(names, f"the query on {origin.source}")
            for number, row in enumerate(_fetched(result, origin), start=1):
                yield as_document(dict(zip(names, row, strict=True)), columns, origin, number)


def newest(source: SqlQuery, column: str) -> Any:
    """The greatest value of the column now; None without rows. Raises UsageError."""
    origin = _origin(source)
    maxima: list[Any] = []
    with connected(parsed(source.url), origin) as connection:
        name = connection.dialect.identifier_preparer.quote(column)
        for query in _queries(connection, source, origin):
            result = _executed(connection, f"SELECT MAX({name}) FROM (\n{query}\n) notes", None, origin)  # noqa: S608
            maxima.extend(value for (value,) in _fetched(result, origin) if value is not None)
    return max(maxima, default=None)


def _origin(source: SqlQuery) -> Origin:
    database = parsed(source.url).database
    return Origin(source=source.shown, name=database.rpartition("/")[2] if database else "sql")


def _queries(connection: sa.Connection, source: SqlQuery, origin: Origin) -> list[str]:
    if source.query:
        return [source.query.strip().removesuffix(";")]
    if source.preset is None:
        raise UsageError("a database needs a query. Type: --query 'SELECT id, text FROM notes'")
    return queries_of(connection, source.preset, origin)


def _executed(
    connection: sa.Connection, query: str, window: WatermarkWindow | None, origin: Origin
) -> CursorResult[Any]:
    options: dict[str, Any] = {"stream_results": True, "yield_per": ROWS_AT_A_TIME}
    try:
        if window is None:
            # no_parameters: psycopg then leaves percent signs in `LIKE '%x%'` alone.
            result = connection.exec_driver_sql(query, execution_options={**options, "no_parameters": True})
        else:
            result = connection.execute(_within(connection, query, window), execution_options=options)
    except (exc.ProgrammingError, exc.OperationalError) as error:
        raise UsageError(f"the query on {origin.source} does not work: {first_line(error)}") from None
    except exc.SQLAlchemyError as error:  # a data error's message quotes the data
        raise UsageError(f"the query on {origin.source} does not work: {kind(error)}") from None
    if not result.returns_rows:
        raise UsageError("the query returns no rows. Type a SELECT: --query 'SELECT id, text FROM notes'")
    return result


def _within(connection: sa.Connection, query: str, window: WatermarkWindow) -> sa.TextClause:
    """The query's rows in the window, in the order of its column."""
    name = connection.dialect.identifier_preparer.quote(window.column)
    conditions, values = [], {}
    if window.after is not None:
        conditions.append(f"{name} {'>' if is_exact(window.after) else '>='} :notemill_after")
        values["notemill_after"] = window.after
    if window.up_to is not None:
        conditions.append(f"{name} <= :notemill_up_to")
        values["notemill_up_to"] = window.up_to
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    literal = query.replace("\\", "\\\\").replace(":", "\\:")
    statement = sa.text(f"SELECT * FROM (\n{literal}\n) notes{where} ORDER BY {name}")  # noqa: S608
    return statement.bindparams(**values)


def _fetched(result: CursorResult[Any], origin: Origin) -> Iterator[sa.Row[Any]]:
    number = 0
    try:
        for row in result:
            number += 1
            yield row
    except exc.SQLAlchemyError as error:
        raise NotemillError(
            f"{origin.source} stopped after {number} rows ({kind(error)}). What was read is"
            " registered; the same command again goes on from there at no cost."
        ) from None
