"""PostgreSQL roles with least privilege for producers, workers and analysts.

The roles have no login, for `CREATE USER … IN ROLE notemill_analyst`. The owner of the tables upgrades,
purges and changes keys. Each upgrade recreates the views, so that rights are granted again after it.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine, inspect, text

from models.errors import UsageError
from models.migrations.schema_version import VERSION_TABLE
from models.schema.database import DatabaseError, read_transaction, write_transaction
from models.schema.tables import Base

PRODUCER, WORKER, ANALYST = "notemill_producer", "notemill_worker", "notemill_analyst"
_EVERYBODY = {VERSION_TABLE: "SELECT", "audit": "SELECT, INSERT", "data_keys": "SELECT"}
_ANSWERS = ("entities", "entity_attributes", "passages", "summaries", "summary_sentences", "summary_sources")
GRANTS: dict[str, dict[str, str]] = {
    PRODUCER: {
        **_EVERYBODY,
        "texts": "INSERT",  # no SELECT: a producer need not read the notes of others
        "documents": "SELECT, INSERT, UPDATE (enqueued_epoch)",
        "runs": "SELECT, INSERT, UPDATE",
        "run_jobs": "SELECT, INSERT",
        "recipes": "SELECT, INSERT",
        "recipe_adoptions": "SELECT",
        "jobs": "SELECT, INSERT, UPDATE",
        "servings": "SELECT",
        "serving_bases": "SELECT",
        "attempts": "SELECT",
    },
    WORKER: {
        **_EVERYBODY,
        "texts": "SELECT",
        "documents": "SELECT, UPDATE (enqueued_epoch)",
        "runs": "SELECT, UPDATE",
        "run_jobs": "SELECT",
        "recipes": "SELECT",
        "jobs": "SELECT, UPDATE",
        "servings": "SELECT, INSERT, UPDATE",
        "serving_bases": "SELECT, INSERT",
        "attempts": "SELECT, INSERT, UPDATE",
        **dict.fromkeys(_ANSWERS, "SELECT, INSERT"),
    },
    ANALYST: dict(_EVERYBODY),
}
_SENTENCES = {"title", "text", "section", "sentence", "source_text"}
"""Columns of views that hold sentences of a note or of its summary."""
_MENTIONS = {"v_entities", "v_entity_attributes"}
"""Views whose `text` is a mention of a few words, which an analyst needs."""
_WITH_SEQUENCE = ("documents", "runs", "jobs")


def create(engine: Engine) -> tuple[str, ...]:
    """Creates missing roles and grants each what it needs; returns the names of the roles.

    Raises UsageError on SQLite, DatabaseError if the user may not create roles.
    """
    if engine.dialect.name != "postgresql":
        raise UsageError("SQLite has no roles: whoever may read the file reads all. Use PostgreSQL.")
    with write_transaction(engine) as connection:
        for role in GRANTS:
            if not _exists(connection, role):
                connection.execute(text(f"CREATE ROLE {role} NOLOGIN"))
        _grant(connection)
    return tuple(GRANTS)


def grant_anew(engine: Engine) -> None:
    """Grants rights on new views and tables after an upgrade, if the roles exist."""
    if engine.dialect.name != "postgresql":
        return
    with read_transaction(engine) as connection:
        if not all(_exists(connection, role) for role in GRANTS):
            return
    try:
        with write_transaction(engine) as connection:
            _grant(connection)
    except DatabaseError as error:
        raise DatabaseError(
            f"upgraded, but the rights of the roles were not granted again: {error}"
        ) from None


def _grant(connection: Connection) -> None:
    schema = connection.scalars(text("SELECT quote_ident(current_schema())")).one()
    views = [name for name in inspect(connection).get_view_names() if name.startswith("v_")]
    for role, tables in GRANTS.items():
        connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO {role}"))
        for name in (*Base.metadata.tables, *views):
            connection.execute(text(f"REVOKE ALL ON {name} FROM {role}"))
        for name, privileges in tables.items():
            connection.execute(text(f"GRANT {privileges} ON {name} TO {role}"))
    for name in _WITH_SEQUENCE:
        connection.execute(text(f"GRANT USAGE ON SEQUENCE {name}_id_seq TO {PRODUCER}"))
    for name in views:
        hidden = _SENTENCES - ({"text"} if name in _MENTIONS else set())
        names = (column["name"] for column in inspect(connection).get_columns(name))
        columns = [column for column in names if column not in hidden]
        connection.execute(text(f"GRANT SELECT ({', '.join(columns)}) ON {name} TO {ANALYST}"))


def _exists(connection: Connection, role: str) -> bool:
    roles = connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role})
    return roles.one_or_none() is not None
