"""Quarantine: an index of jobs with an unended claim, and a count of the workers that died on each job."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
views_fingerprint = "0ef571532833e5c3"

_HAS_UNFORGIVEN_ATTEMPTS = sa.text(
    "jobs.attempts > jobs.attempts_forgiven AND jobs.status IN ('pending', 'running')"
)


def upgrade() -> None:
    op.add_column("jobs", sa.Column("kills", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.create_index(
        "ix_jobs_suspect",
        "jobs",
        ["text_sha256"],
        unique=False,
        sqlite_where=_HAS_UNFORGIVEN_ATTEMPTS,
        postgresql_where=_HAS_UNFORGIVEN_ATTEMPTS,
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_suspect", "jobs")
    op.drop_column("jobs", "kills")
