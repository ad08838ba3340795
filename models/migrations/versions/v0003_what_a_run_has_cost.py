"""Usage of runs: columns for seconds by activity and tokens by kind."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
views_fingerprint = "0ef571532833e5c3"

_SECONDS = (
    "load_seconds",
    "prefill_seconds",
    "decode_seconds",
    "constrain_seconds",
    "schedule_seconds",
    "idle_queued_seconds",
    "idle_empty_seconds",
    "read_seconds",
    "compile_seconds",
    "wait_seconds",
    "ground_seconds",
    "store_seconds",
)
_COUNTS = (
    "requests",
    "steps",
    "rows_stepped",
    "prefill_tokens",
    "shared_tokens",
    "decided_places",
    "decoded_tokens",
    "forced_tokens",
    "proposed_tokens",
    "accepted_tokens",
)


def upgrade() -> None:
    for name in _SECONDS:
        op.add_column("runs", sa.Column(name, sa.Double(), nullable=False, server_default="0"))
    for name in _COUNTS:
        op.add_column("runs", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("spent_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    # Not Alembic's batch mode: it recreates `runs`, and on SQLite dropping the old table also deletes every
    # row that refers to it.
    for name in ("spent_at", *_COUNTS, *_SECONDS):
        op.drop_column("runs", name)
