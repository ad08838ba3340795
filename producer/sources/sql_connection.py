"""A connection to another system's database, for reading only; errors never show a password."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import URL, make_url

from models.errors import UsageError
from producer.records.records import Origin

_POSTGRESQL = {"postgres", "postgresql"}


def parsed(url: str) -> URL:
    """The URL, with the driver that notemill brings. Raises UsageError."""
    try:
        parsed_url = make_url(url)
    except (exc.ArgumentError, ValueError):
        raise UsageError(
            "that is no database URL. For example: --sql postgresql+psycopg://user@host/archive"
        ) from None
    # `postgres` is how hosting services write it.
    return (
        parsed_url.set(drivername="postgresql+psycopg")
        if parsed_url.drivername in _POSTGRESQL
        else parsed_url
    )


def shown(url: URL) -> str:
    """The database without user, password or options."""
    plain = URL.create(url.get_backend_name(), host=url.host, port=url.port, database=url.database)
    return plain.render_as_string()


@contextmanager
def connected(url: URL, origin: Origin) -> Iterator[sa.Connection]:
    """Opens the connection. Raises UsageError where nothing answers, or a driver is missing."""
    if url.get_backend_name() == "sqlite":
        _check_sqlite_file(url, origin)
    try:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
    except (exc.ArgumentError, ImportError) as error:
        raise UsageError(f"cannot use the database {origin.source}: {first_line(error)}") from None
    if url.get_backend_name() == "sqlite":
        sa.event.listen(engine, "connect", _keep_bad_bytes)
    try:
        connection = engine.connect()
    except exc.SQLAlchemyError as error:
        raise UsageError(f"cannot connect to {origin.source}: {first_line(error)}") from None
    try:
        yield connection
    finally:
        connection.close()
        engine.dispose()


def first_line(error: BaseException) -> str:
    """The database's message about the statement."""
    cause = getattr(error, "orig", None) or error
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]


def kind(error: BaseException) -> str:
    """The type of an error that could quote a row."""
    return type(getattr(error, "orig", None) or error).__name__


def _check_sqlite_file(url: URL, origin: Origin) -> None:
    """Refuses a missing file, which SQLite would create."""
    path = url.database
    if path and path != ":memory:" and not path.startswith("file:") and not Path(path).is_file():
        raise UsageError(f"there is no database file {path} (from {origin.source}).")


def _keep_bad_bytes(connection: Any, _record: Any) -> None:
    # sqlite3 would end the whole query at the first text that is no UTF-8; this way its row is refused.
    connection.text_factory = lambda content: content.decode("utf-8", "surrogateescape")
