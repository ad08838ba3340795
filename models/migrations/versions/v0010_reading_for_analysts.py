"""Indexes for analysts: entities by label and text, and full text of summaries and passages."""

from __future__ import annotations

from alembic import op

from models.schema import full_text_search

revision = "0010"
down_revision = "0009"
views_fingerprint = "e07655e10c03ae4a"


def upgrade() -> None:
    op.create_index(
        "ix_entities_label_text_assertion", "entities", ["label", "text", "assertion"], unique=False
    )
    for statement in full_text_search.create_statements(op.get_bind().dialect.name):
        op.execute(statement)


def downgrade() -> None:
    for statement in full_text_search.drop_statements(op.get_bind().dialect.name):
        op.execute(statement)
    op.drop_index("ix_entities_label_text_assertion", "entities")
