"""Nightly runs: their watermarks and reports, and the files of their sources."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
views_fingerprint = "f58df70568cce0cd"


def upgrade() -> None:
    op.create_table(
        "nights",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("watermark", sa.JSON(), nullable=True),
        sa.Column("report", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_nights_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_nights")),
    )
    op.create_table(
        "night_files",
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("changed_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("plan", "path", name=op.f("pk_night_files")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("night_files")
    op.drop_table("nights")
