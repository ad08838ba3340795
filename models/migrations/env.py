"""Alembic runs this file around the migrations, on the connection that `models.migrations.schema_version` hands over.

Views are not migrated: they hold nothing, so all are dropped before and made anew after the tables,
where those are the newest; a step on the way there may lack what the views show.
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
    # One transaction for all steps, the one that models.migrations.schema_version has opened.
    transaction_per_migration=False,
)

for statement in views.drop_statements():
    connection.exec_driver_sql(statement)
context.run_migrations()
if cast(Any, context.get_context()).get_current_revision() == context.get_head_revision():
    for statement in views.create_statements(cast(views.Dialect, connection.dialect.name)):
        connection.exec_driver_sql(statement)
