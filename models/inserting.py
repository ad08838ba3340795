"""Bulk inserts that leave alone what is there already, on both databases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase

Row = Mapping[str, Any]


def insert_new(connection: Connection, table: type[DeclarativeBase], rows: Sequence[Row]) -> None:
    """Inserts, in their order, the rows whose key is not taken."""
    if rows:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        connection.execute(dialect.insert(table).on_conflict_do_nothing(), list(rows))


def put(connection: Connection, table: type[DeclarativeBase], row: Row, *, key: str) -> None:
    """Inserts one row, or brings the row with the same key up to date."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(**row)
    connection.execute(statement.on_conflict_do_update(index_elements=[key], set_=dict(row)))
