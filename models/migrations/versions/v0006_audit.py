"""The audit trail: rows can be added, and neither changed nor deleted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
views_fingerprint = "0ef571532833e5c3"

_TEXT_COLUMNS = ("at", "actor", "database_user", "action", "subject", "previous_hash", "hash")


def upgrade() -> None:
    columns = [sa.Column(name, sa.Text(), nullable=False) for name in _TEXT_COLUMNS]
    number = sa.Column("number", sa.Integer(), autoincrement=False, nullable=False)
    op.create_table("audit", number, *columns, sa.PrimaryKeyConstraint("number", name="pk_audit"))
    if op.get_bind().dialect.name == "sqlite":
        for deed in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_no_{deed.lower()} BEFORE {deed} ON audit"
                " BEGIN SELECT RAISE(ABORT, 'the audit trail is only added to'); END"
            )
    else:
        op.execute(
            "CREATE FUNCTION notemill_audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'the audit trail is only added to'; END $$"
        )
        op.execute(
            "CREATE TRIGGER audit_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit"
            " FOR EACH STATEMENT EXECUTE FUNCTION notemill_audit_is_kept()"
        )


def downgrade() -> None:
    op.drop_table("audit")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION notemill_audit_is_kept()")
