"""The verbs `notemill db upgrade`, `db check` and `db roles`."""

from __future__ import annotations

from console.manage.recipe_command import offer_adoptions
from console.terminal.opened_database import database, shown
from console.terminal.terminal import stdout
from models.migrations import database_roles, schema_version
from models.security.open_database import open_database
from models.settings import load_settings


def upgrade(*, is_adopting: bool) -> int:
    """Upgrades tables and views, and offers the adoption of answers of version 0.1.0."""
    settings = load_settings()
    engine = open_database(settings)
    before = schema_version.state(engine)
    schema_version.upgrade(engine)
    database_roles.grant_anew(engine)
    words = "is up to date" if before == "current" else "is upgraded"
    stdout().print(f"{shown(engine)} {words}.", soft_wrap=True)
    with database(settings) as opened:
        offer_adoptions(opened, settings, is_adopting=is_adopting)
    return 0


def check() -> int:
    """Raises SchemaError, saying what to type, where the tables are not current."""
    engine = open_database(load_settings())
    schema_version.check(engine)
    stdout().print(f"{shown(engine)} has the tables and views of this notemill.", soft_wrap=True)
    return 0


def make_roles() -> int:
    """Creates the roles and prints their names. Raises UsageError on SQLite."""
    engine = open_database(load_settings())
    schema_version.check(engine)
    for role in database_roles.create(engine):
        stdout().print(role, soft_wrap=True)
    return 0
