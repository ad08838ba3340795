"""The trace of a run, and an index of entities for queries over a whole archive."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
views_fingerprint = "e07655e10c03ae4a"


def upgrade() -> None:
    op.add_column("runs", sa.Column("traceparent", sa.String(length=55), nullable=True))
    op.create_index(
        "ix_entities_label_assertion_job_id", "entities", ["label", "assertion", "job_id"], unique=False
    )


def downgrade() -> None:
    op.drop_index("ix_entities_label_assertion_job_id", "entities")
    op.drop_column("runs", "traceparent")
