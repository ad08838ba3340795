"""Opens the database of the settings, with its encryption keys."""

from __future__ import annotations

from sqlalchemy import Engine

from models.schema.database import connect
from models.security.data_keys import install_keyring
from models.security.master_keys import master_keys
from models.settings import Settings


def open_database(settings: Settings) -> Engine:
    """Connects as `models.schema.database.connect` does. Also raises MasterKeyError.

    Does not check the key: `models.migrations.schema_version.check` does.
    """
    masters = master_keys(settings)
    engine = connect(settings.effective_database_url)
    install_keyring(engine, masters)
    return engine
