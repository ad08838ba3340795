"""The view of what was read of each note: no table changes."""

from __future__ import annotations

revision = "0005"
down_revision = "0004"
views_fingerprint = "3d508db2b0a1fd33"


def upgrade() -> None:
    """Views are made anew after the steps (models/migrations/env.py)."""


def downgrade() -> None:
    """As above."""
