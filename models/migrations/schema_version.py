"""Schema version of a database: upgrade, downgrade and state of its tables and views.

Uses Alembic without an alembic.ini; the migrations are in `models/migrations/versions/`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from models.schema.database import DatabaseError, read_transaction, write_transaction
from models.security import data_keys

SchemaState = Literal["empty", "current", "behind", "ahead"]
VERSION_TABLE = "notemill_schema"
"""Not Alembic's default name: a hospital's database may hold other applications that use it."""
_LOCK_NUMBER = 0x6D696C6C


class SchemaError(DatabaseError):
    """The tables do not have the schema of this version."""


def upgrade(engine: Engine) -> None:
    """Migrates the tables and creates every view again. Does nothing if the schema is current; several
    processes may call it at once. Raises SchemaError if a newer notemill created the tables."""
    with write_transaction(engine) as connection:
        _hold_off_others(connection)
        if _state(connection) == "ahead":
            raise SchemaError(_AHEAD.format(url=_url_without_password(engine)))
        command.upgrade(_config(connection), "head")
    data_keys.prepare_data_keys(engine)


def downgrade(engine: Engine) -> None:
    """Drops every table and view with their content."""
    with write_transaction(engine) as connection:
        _hold_off_others(connection)
        command.downgrade(_config(connection), "base")


def state(engine: Engine) -> SchemaState:
    """`empty`: no tables; `behind`: needs `upgrade`; `ahead`: created by a newer notemill."""
    with read_transaction(engine) as connection:
        return _state(connection)


def check(engine: Engine) -> None:
    """Raises SchemaError, saying what to type, unless the state is `current`; raises KeyMissingError if the
    text is encrypted with a key that is not available."""
    match state(engine):
        case "empty":
            raise SchemaError(
                f"{_url_without_password(engine)} has no tables yet: type `notemill db upgrade`."
            )
        case "behind":
            raise SchemaError(
                f"the tables in {_url_without_password(engine)} are older: type `notemill db upgrade`."
            )
        case "ahead":
            raise SchemaError(_AHEAD.format(url=_url_without_password(engine)))
    data_keys.prepare_data_keys(engine)


_AHEAD = "the tables in {url} were made by a newer notemill: update this one."


def _state(connection: Connection) -> SchemaState:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    scripts = ScriptDirectory.from_config(_config(connection))
    revision = context.get_current_revision()
    if revision is None:
        return "empty"
    if revision == scripts.get_current_head():
        return "current"
    revisions = {script.revision for script in scripts.walk_revisions()}
    return "behind" if revision in revisions else "ahead"


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _hold_off_others(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})


def _url_without_password(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=True)
