"""Alembic's environment; runs on the connection that `models.migrations.schema_version` supplies.

Views hold no data: all are dropped before the migrations and created again after the newest one. Earlier
versions may lack the columns that the views select.
"""

from __future__ import annotations

from typing import Any, cast

from alembic import context
from sqlalchemy import Connection

from models.migrations.schema_version import VERSION_TABLE
from models.schema import views

connection: Connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    version_table=VERSION_TABLE,
    # One transaction for all migrations, which models.migrations.schema_version has opened.
    transaction_per_migration=False,
)

for statement in views.drop_statements():
    connection.exec_driver_sql(statement)
context.run_migrations()
if cast(Any, context.get_context()).get_current_revision() == context.get_head_revision():
    for statement in views.create_statements(cast(views.Dialect, connection.dialect.name)):
        connection.exec_driver_sql(statement)
