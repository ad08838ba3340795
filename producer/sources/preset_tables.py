"""Finds the tables of a preset in a database, in any schema and spelling."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy import exc

from models.errors import UsageError
from producer.records.records import Origin
from producer.records.table_presets import Preset
from producer.sources.sql_connection import kind

_SYSTEM_SCHEMAS = ("information_schema", "pg_", "sys", "mysql", "performance_schema")


def queries_of(connection: sa.Connection, preset: Preset, origin: Origin) -> list[str]:
    """A SELECT for each table of the preset that the first schema with any has. Raises UsageError."""
    preparer = connection.dialect.identifier_preparer
    try:
        inspector = sa.inspect(connection)
        for schema in _schemas(inspector, preset):
            names = {name.casefold(): name for name in _names(inspector, schema)}
            table_names = [names[table] for table in preset.tables if table in names]
            if table_names:
                tables = (preparer.format_table(sa.table(name, schema=schema)) for name in table_names)
                return [f"SELECT * FROM {table}" for table in tables]  # noqa: S608  quoted by the dialect
    except exc.SQLAlchemyError as error:
        raise UsageError(f"cannot list the tables of {origin.source} ({kind(error)}).") from None
    example = f"SELECT * FROM my_schema.{preset.tables[0]}"  # noqa: S608  for a person to type
    raise UsageError(
        f"{origin.source} has no table {' or '.join(preset.tables)} that this user can see. Name it yourself:"
        f" --preset {preset.name} --query '{example}'"
    )


def _schemas(inspector: sa.Inspector, preset: Preset) -> Iterator[str | None]:
    yield None
    others = [name for name in inspector.get_schema_names() if not name.startswith(_SYSTEM_SCHEMAS)]
    yield from sorted(others, key=lambda name: (_schema_rank(name, preset.schemas), name))


def _schema_rank(name: str, schemas: tuple[str, ...]) -> int:
    return schemas.index(name.casefold()) if name.casefold() in schemas else len(schemas)


def _names(inspector: sa.Inspector, schema: str | None) -> list[str]:
    return [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
