"""The view of the coverage of each note; no table changes."""

from __future__ import annotations

revision = "0005"
down_revision = "0004"
views_fingerprint = "3d508db2b0a1fd33"


def upgrade() -> None:
    """Views are recreated after the migrations (models/migrations/env.py)."""


def downgrade() -> None:
    """Views are recreated after the migrations."""
