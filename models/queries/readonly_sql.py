"""Runs one SELECT of an analyst in a read-only transaction (`notemill sql`)."""

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
_SYNTAX_OR_ACCESS = ("42",)
"""PostgreSQL's class of errors about the statement itself; messages of others may quote a row."""


class StatementError(UsageError):
    """The database refuses the statement."""


def run_select(engine: Engine, statement: str, limit: int) -> tuple[list[str], list[Sequence[Any]], bool]:
    """Column names, the first `limit` rows, and whether there are more. Raises StatementError."""
    with _reading_only(engine) as connection:
        try:
            # no_parameters: the driver does not interpret the percent signs of `LIKE '%x%'`.
            options = {"stream_results": True, "no_parameters": True}
            result = connection.exec_driver_sql(statement, execution_options=options)
            names = list(result.keys())
            rows: list[Sequence[Any]] = [tuple(row) for row in islice(result, limit + 1)]
        except DBAPIError as error:
            raise StatementError(f"the statement cannot be run: {_reason(error)}") from None
        except (ResourceClosedError, sqlite3.Warning):
            raise StatementError("the statement returns no rows: type one SELECT.") from None
    plain = [[_decrypted(value, engine) for value in row] for row in rows[:limit]]
    return names, list(plain), len(rows) > limit


def _decrypted(value: Any, engine: Engine) -> Any:
    """The value, decrypted if it is encrypted text."""
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
            connection.invalidate()  # the restricted connection must not return to the pool


def _only_reads(
    action: int, _first: str | None, name: str | None, _third: str | None, _fourth: str | None
) -> int:
    is_allowed = action in _ALLOWED and name != "load_extension"
    return sqlite3.SQLITE_OK if is_allowed else sqlite3.SQLITE_DENY


def _reason(error: DBAPIError) -> str:
    code = getattr(error.orig, "sqlstate", None)
    if code is not None and not code.startswith(_SYNTAX_OR_ACCESS):
        return f"{type(error.orig).__name__} ({code})"
    first_line = str(error.orig).strip().partition("\n")[0]
    return "only reading is allowed" if first_line == "not authorized" else first_line
