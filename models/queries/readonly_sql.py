"""One SELECT of an analyst's, on a transaction that can write nothing. Behind `notemill sql`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, ResourceClosedError

from models.errors import UsageError
from models.schema.encrypted_columns import decrypt_text

_ALLOWED = {
    sqlite3.SQLITE_TRANSACTION,
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
_ABOUT_WORDS = ("42",)
"""PostgreSQL's class of errors about the statement; others may quote a row."""


class StatementError(UsageError):
    """The statement cannot be run."""


def run_select(engine: Engine, statement: str, limit: int) -> tuple[list[str], list[Sequence[Any]], bool]:
    """Column names, the first `limit` rows, and whether there are more. Raises StatementError."""
    with _reading_only(engine) as connection:
        try:
            # no_parameters: the driver then leaves the percent signs of `LIKE '%x%'` alone.
            options = {"stream_results": True, "no_parameters": True}
            result = connection.exec_driver_sql(statement, execution_options=options)
            names = list(result.keys())
            rows: list[Sequence[Any]] = [tuple(row) for row in islice(result, limit + 1)]
        except DBAPIError as error:
            raise StatementError(f"the statement cannot be run: {_why(error)}") from None
        except (ResourceClosedError, sqlite3.Warning):
            raise StatementError("the statement returns no rows: type one SELECT.") from None
    shown = [[_opened(value, engine) for value in row] for row in rows[:limit]]
    return names, list(shown), len(rows) > limit


def _opened(value: Any, engine: Engine) -> Any:
    """Text that is sealed, as it was."""
    return decrypt_text(value, engine.dialect) if isinstance(value, str) else value


@contextmanager
def _reading_only(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        if isinstance(raw, sqlite3.Connection):
            raw.execute("PRAGMA query_only = ON")
            raw.set_authorizer(_only_reads)
        else:
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        try:
            yield connection
        finally:
            connection.invalidate()  # never back to the pool as it is now


def _only_reads(action: int, _one: str | None, two: str | None, _three: str | None, _four: str | None) -> int:
    is_allowed = action in _ALLOWED and two != "load_extension"
    return sqlite3.SQLITE_OK if is_allowed else sqlite3.SQLITE_DENY


def _why(error: DBAPIError) -> str:
    code = getattr(error.orig, "sqlstate", None)
    if code is not None and not code.startswith(_ABOUT_WORDS):
        return f"{type(error.orig).__name__} ({code})"
    first_line = str(error.orig).strip().partition("\n")[0]
    return "only reading is allowed" if first_line == "not authorized" else first_line
