"""Migrations, the tables that they create, and errors about a database with another schema."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from making import NOTE, QUESTIONS, claimed, documents, submit, work_off
from sqlalchemy import Engine, inspect, text

from models.errors import NotemillError
from models.migrations import schema_version
from models.queries.queries import Queries
from models.schema import answer_tables, correction_tables, nightly_tables, views
from models.schema.database import connect, read_transaction, write_transaction
from models.security import audit_trail
from models.store.store import Store

MIGRATIONS = Path(schema_version.__file__).parent / "versions"
TABLES = (answer_tables, audit_trail, correction_tables, nightly_tables)
"""Modules that declare tables; their import adds the tables to the metadata."""
METADATA = TABLES[0].Base.metadata


@pytest.fixture
def empty(empty_url: str) -> Iterator[Engine]:
    engine = connect(empty_url)
    yield engine
    engine.dispose()


def test_an_empty_database_becomes_current_and_stays_so(empty: Engine) -> None:
    assert schema_version.state(empty) == "empty"
    for _ in range(2):
        schema_version.upgrade(empty)
        assert Queries(empty).schema_state() == "current"
        schema_version.check(empty)


def test_the_migrations_create_the_tables_that_the_mappings_describe(empty: Engine) -> None:
    METADATA.create_all(empty)
    from_mappings = _described(empty)
    METADATA.drop_all(empty)
    schema_version.upgrade(empty)
    assert _described(empty) == from_mappings


def test_alembic_finds_nothing_to_migrate(engine: Engine) -> None:
    with read_transaction(engine) as connection:
        options = {"version_table": schema_version.VERSION_TABLE, "include_object": _is_mapped}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, METADATA) == []


def test_a_changed_view_needs_a_migration() -> None:
    newest = sorted(MIGRATIONS.glob("v*.py"))[-1]
    module = import_module(f"models.migrations.versions.{newest.stem}")
    assert module.views_fingerprint == views.views_fingerprint(), "write a step that names the new one"


def test_a_database_with_data_can_be_downgraded_and_upgraded_again(engine: Engine, store: Store) -> None:
    submit(store, documents(NOTE), QUESTIONS)
    work_off(store, 1)
    schema_version.downgrade(engine)
    assert inspect(engine).get_table_names() == [schema_version.VERSION_TABLE]
    assert inspect(engine).get_view_names() == []
    schema_version.upgrade(engine)
    assert Queries(engine).counts()["documents"] == 0


def test_every_migration_reverses_and_reapplies_on_data_without_changing_an_answer(
    engine: Engine, store: Store
) -> None:
    submit(store, documents(NOTE, "No fever."), QUESTIONS)
    work_off(store, 1)
    claimed(store, 2, lease_seconds=-1)
    before = list(Queries(engine).results())
    for steps in range(1, len(list(MIGRATIONS.glob("v*.py")))):
        with write_transaction(engine) as connection:
            command.downgrade(schema_version._config(connection), f"-{steps}")
        assert schema_version.state(engine) == "behind"
        schema_version.upgrade(engine)
        assert list(Queries(engine).results()) == before
    work_off(store, 2)


def test_every_view_exists_after_an_upgrade(engine: Engine) -> None:
    assert set(inspect(engine).get_view_names()) == set(views.VIEW_NAMES)


def test_the_tables_of_a_newer_notemill_are_not_touched(engine: Engine) -> None:
    _set_revision(engine, "9999")
    assert schema_version.state(engine) == "ahead"
    for touch in (schema_version.check, schema_version.upgrade):
        with pytest.raises(NotemillError, match="newer notemill"):
            touch(engine)


def test_a_database_without_tables_says_what_to_type(empty: Engine) -> None:
    for touch in (schema_version.check, lambda engine: Queries(engine).counts()):
        with pytest.raises(NotemillError, match="notemill db upgrade"):
            touch(empty)


def test_concurrent_upgrades_create_one_set_of_tables(empty: Engine, run_at_once: Any) -> None:
    run_at_once(lambda _: schema_version.upgrade(empty), 4)
    assert schema_version.state(empty) == "current"


def test_other_tables_in_the_database_are_not_touched(empty: Engine) -> None:
    with write_transaction(empty) as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
    schema_version.upgrade(empty)
    assert schema_version.state(empty) == "current"
    assert "alembic_version" in inspect(empty).get_table_names()


def _is_mapped(_object: Any, name: str | None, *_: Any) -> bool:
    """True except for full-text indexes, which differ between the databases."""
    return not re.search(r"_words($|_)", name or "")


def _set_revision(engine: Engine, revision: str) -> None:
    with write_transaction(engine) as connection:
        connection.execute(
            text(f"UPDATE {schema_version.VERSION_TABLE} SET version_num = :r"), {"r": revision}
        )


def _described(engine: Engine) -> dict[str, Any]:
    """The database's description of each table."""
    inspector = inspect(engine)
    parts = (
        lambda table: [{**column, "type": str(column["type"])} for column in inspector.get_columns(table)],
        inspector.get_pk_constraint,
        lambda table: sorted(inspector.get_foreign_keys(table), key=str),
        lambda table: sorted(inspector.get_unique_constraints(table), key=str),
        lambda table: sorted(inspector.get_check_constraints(table), key=str),
        lambda table: sorted(_indexes(inspector.get_indexes(table)), key=str),
        inspector.get_table_options,
    )
    return {table: [part(table) for part in parts] for table in METADATA.tables}


def _indexes(indexes: list[Any]) -> list[Any]:
    return [
        {**index, "dialect_options": {name: str(value) for name, value in index["dialect_options"].items()}}
        for index in indexes
        if not index["name"].endswith("_words")  # they exist on one of the databases only
    ]
