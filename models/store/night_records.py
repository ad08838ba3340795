"""What a night writes of itself. Functions on an open transaction; `models.store.store` opens it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, update

from models.schema.database_clock import utc_now
from models.schema.nightly_tables import NightFileRow, NightRow
from models.store.nights import FileState


def begin_night(
    connection: Connection,
    plan: str,
    run_id: int,
    watermark: Mapping[str, Any] | None,
    files: Mapping[str, FileState],
) -> None:
    """See Store.begin_night."""
    connection.execute(insert(NightRow).values(run_id=run_id, plan=plan, watermark=watermark))
    if not files:
        return
    rows = [{"plan": plan, "path": path, **state._asdict()} for path, state in files.items()]
    forgotten = delete(NightFileRow).where(NightFileRow.plan == plan, NightFileRow.path == bindparam("old"))
    connection.execute(forgotten, [{"old": path} for path in files])
    connection.execute(insert(NightFileRow), rows)


def end_night(connection: Connection, run_id: int, report: Mapping[str, Any]) -> None:
    """See Store.end_night."""
    ended = update(NightRow).where(NightRow.run_id == run_id)
    connection.execute(ended.values(ended_at=utc_now(), report=report))
