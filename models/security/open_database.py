"""The settings' database, with the keys that open its text."""

from __future__ import annotations

from sqlalchemy import Engine

from models.schema.database import connect
from models.security.data_keys import install_keyring
from models.security.master_keys import master_keys
from models.settings import Settings


def open_database(settings: Settings) -> Engine:
    """See models.schema.database.connect. Raises MasterKeyError too; whether a key fits, `schema.check` says."""
    masters = master_keys(settings)
    engine = connect(settings.effective_database_url)
    install_keyring(engine, masters)
    return engine
