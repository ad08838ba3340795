"""Corrections of mentions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
views_fingerprint = "dd0eb9309dc905e7"


def upgrade() -> None:
    op.create_table(
        "corrections",
        sa.Column("text_sha256", sa.String(length=64), nullable=False),
        sa.Column("found_start", sa.Integer(), nullable=False),
        sa.Column("found_end", sa.Integer(), nullable=False),
        sa.Column("found_label", sa.Text(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("span_start", sa.Integer(), nullable=False),
        sa.Column("span_end", sa.Integer(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("assertion", sa.String(length=16), nullable=False),
        sa.Column("corrected_by", sa.Text(), nullable=False),
        sa.Column("corrected_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "verdict IN ('accepted', 'fixed', 'rejected', 'added')", name="ck_corrections_verdict_known"
        ),
        sa.CheckConstraint(
            "assertion IN ('present', 'negated', 'possible', 'historical', 'conditional', 'family')",
            name="ck_corrections_assertion_known",
        ),
        sa.CheckConstraint(
            "found_start >= 0 AND found_end > found_start", name="ck_corrections_found_in_text"
        ),
        sa.CheckConstraint("span_start >= 0 AND span_end > span_start", name="ck_corrections_span_in_text"),
        sa.ForeignKeyConstraint(
            ["text_sha256"], ["texts.sha256"], name="fk_corrections_text_sha256", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(
            "text_sha256", "found_start", "found_end", "found_label", name="pk_corrections"
        ),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("corrections")
