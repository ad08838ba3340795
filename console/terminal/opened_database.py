"""Opens the database of the settings for a verb."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from console.terminal.terminal import command_to_type, stderr
from models.migrations import schema_version
from models.queries.queries import Queries
from models.security.open_database import open_database
from models.settings import Settings
from models.store.store import Store

if TYPE_CHECKING:
    from sqlalchemy import Engine


@dataclass(frozen=True, slots=True)
class Database:
    """An open database whose tables are of this version."""

    engine: Engine
    store: Store
    queries: Queries


@contextmanager
def database(settings: Settings) -> Iterator[Database]:
    """Opens the database; creates the tables of an empty one, and upgrades an older one in the home folder.

    Raises SchemaError, saying what to type, where the tables on a server are older or newer.
    """
    engine = open_database(settings)
    try:
        state = schema_version.state(engine)
        if state == "empty" or (state == "behind" and is_embedded(settings)):
            schema_version.upgrade(engine)
            if state == "behind":
                hint = (
                    f"To keep answers that this version gives too, type: {command_to_type('db', 'upgrade')}"
                )
                stderr().print(f"The database was upgraded. {hint}", soft_wrap=True)
        else:
            schema_version.check(engine)
        yield Database(engine, Store(engine, actor=settings.actor), Queries(engine))
    finally:
        engine.dispose()


def is_embedded(settings: Settings) -> bool:
    """True for the SQLite file in the home folder."""
    return not settings.database_url.get_secret_value()


def url_without_password(engine: Engine) -> str:
    """The database's URL without its password."""
    return engine.url.render_as_string(hide_password=True)
