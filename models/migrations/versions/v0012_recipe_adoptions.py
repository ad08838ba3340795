"""Adoptions: answers under one recipe that count as answers under another."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
views_fingerprint = "e07655e10c03ae4a"


def upgrade() -> None:
    op.create_table(
        "recipe_adoptions",
        sa.Column("old_id", sa.String(length=16), nullable=False),
        sa.Column("new_id", sa.String(length=16), nullable=False),
        sa.Column("adopted_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["old_id"], ["recipes.id"], name="fk_recipe_adoptions_old_id"),
        sa.ForeignKeyConstraint(["new_id"], ["recipes.id"], name="fk_recipe_adoptions_new_id"),
        sa.PrimaryKeyConstraint("old_id", "new_id", name="pk_recipe_adoptions"),
    )


def downgrade() -> None:
    op.drop_table("recipe_adoptions")
