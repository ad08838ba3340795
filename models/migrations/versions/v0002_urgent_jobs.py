"""Urgent jobs: the column `is_urgent` and its partial index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
views_fingerprint = "35ac78110e2c26a1"

_OWED = sa.text("jobs.is_urgent AND jobs.status IN ('pending', 'running')")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("is_urgent", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index(
        "ix_jobs_urgent", "jobs", ["text_sha256"], unique=False, sqlite_where=_OWED, postgresql_where=_OWED
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_urgent", "jobs")
    op.drop_column("jobs", "is_urgent")
