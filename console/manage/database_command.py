"""The verbs `notemill db upgrade`, `db check`, `db roles` and `db rekey`."""

from __future__ import annotations

from console.manage.recipe_command import offer_adoptions
from console.terminal.exit_status import PROBLEM
from console.terminal.opened_database import database, url_without_password
from console.terminal.progress_bar import progress_output
from console.terminal.terminal import count_of, stdout
from models.migrations import database_roles, schema_version
from models.security.key_rotation import rekey as encrypt_under_new_key
from models.security.open_database import open_database
from models.security.secure_overwrite import overwrite
from models.settings import load_settings


def upgrade(*, is_adopting: bool) -> int:
    """Upgrades tables and views, and offers the adoption of answers of version 0.1.0."""
    settings = load_settings()
    engine = open_database(settings)
    before = schema_version.state(engine)
    schema_version.upgrade(engine)
    database_roles.grant_anew(engine)
    words = "is up to date" if before == "current" else "is upgraded"
    stdout().print(f"{url_without_password(engine)} {words}.", soft_wrap=True)
    with database(settings) as opened:
        offer_adoptions(opened, settings, is_adopting=is_adopting)
    return 0


def check() -> int:
    """Raises SchemaError, saying what to type, where the tables are not current."""
    engine = open_database(load_settings())
    schema_version.check(engine)
    stdout().print(
        f"{url_without_password(engine)} has the tables and views of this notemill.", soft_wrap=True
    )
    return 0


def make_roles() -> int:
    """Creates the roles and prints their names. Raises UsageError on SQLite."""
    engine = open_database(load_settings())
    schema_version.check(engine)
    for role in database_roles.create(engine):
        stdout().print(role, soft_wrap=True)
    return 0


def rekey() -> int:
    """Encrypts all text under a new data key. Exit status 1 where old bytes may remain in the file. Raises
    UsageError without a key."""
    settings = load_settings()
    reporter = progress_output(is_quiet=False)
    with database(settings) as opened:
        try:
            result = encrypt_under_new_key(
                opened.engine,
                actor=settings.actor,
                on_rows=lambda rows: reporter.show(0, 0, f"{count_of(rows, 'row')} encrypted"),
            )
        finally:
            reporter.close()
        overwritten = overwrite(opened.engine, is_rewriting=False)
    new = count_of(result.rewrapped_keys, "data key")
    stdout().print(
        f"{count_of(result.rows, 'row')} encrypted under data key {result.key};"
        f" {new} under the new master key. The database: {overwritten.words}.",
        soft_wrap=True,
    )
    is_sqlite = not settings.effective_database_url.startswith("postgres")
    return PROBLEM if is_sqlite and not overwritten.is_complete else 0
