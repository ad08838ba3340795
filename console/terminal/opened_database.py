"""Opens the database for a verb, and the verbs `db upgrade`, `db check` and `db roles`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from console.terminal.terminal import stdout
from models.migrations import database_roles, schema_version
from models.queries.queries import Queries
from models.security.open_database import open_database
from models.settings import Settings, load_settings
from models.store.store import Store

if TYPE_CHECKING:
    from sqlalchemy import Engine


@dataclass(frozen=True, slots=True)
class Database:
    """The settings' database, its tables as this notemill needs them."""

    engine: Engine
    store: Store
    queries: Queries


@contextmanager
def database(settings: Settings) -> Iterator[Database]:
    """Opens it; an empty one gets its tables, and so does an older one of ours in the home folder.

    Raises SchemaError, saying what to type, where tables of somebody's server are older or newer.
    """
    engine = open_database(settings)
    try:
        found = schema_version.state(engine)
        if found == "empty" or (found == "behind" and is_embedded(settings)):
            schema_version.upgrade(engine)
        else:
            schema_version.check(engine)
        yield Database(engine, Store(engine, actor=settings.actor), Queries(engine))
    finally:
        engine.dispose()


def is_embedded(settings: Settings) -> bool:
    """The database is the SQLite file in the home folder."""
    return not settings.database_url.get_secret_value()


def upgrade() -> int:
    """`notemill db upgrade`."""
    engine = open_database(load_settings())
    before = schema_version.state(engine)
    schema_version.upgrade(engine)
    database_roles.grant_anew(engine)
    words = "had all it needs" if before == "current" else "has its tables and views now"
    stdout().print(f"{shown(engine)} {words}.", soft_wrap=True)
    return 0


def check() -> int:
    """`notemill db check`. Raises SchemaError where something is to be done."""
    engine = open_database(load_settings())
    schema_version.check(engine)
    stdout().print(f"{shown(engine)} has the tables and views of this notemill.", soft_wrap=True)
    return 0


def make_roles() -> int:
    """`notemill db roles`. Raises UsageError on SQLite."""
    engine = open_database(load_settings())
    schema_version.check(engine)
    for role in database_roles.create(engine):
        stdout().print(role, soft_wrap=True)
    return 0


def shown(engine: Engine) -> str:
    """The database's URL without its password."""
    return engine.url.render_as_string(hide_password=True)
