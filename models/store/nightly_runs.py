"""Nightly runs: the watermark and the files of each, and its report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Engine, bindparam, delete, insert, update

from models.schema.database import write_transaction
from models.schema.database_clock import utc_now
from models.schema.nightly_tables import NightlyFileRow, NightlyRunRow


class FileState(NamedTuple):
    """A file's size and modification time when it was last read."""

    size: int
    changed_ns: int


class NightlyWrites:
    """Records nightly runs; part of `Store`."""

    _engine: Engine

    def begin_nightly_run(
        self,
        plan: str,
        run_id: int,
        *,
        watermark: Mapping[str, Any] | None,
        files: Mapping[str, FileState],
    ) -> None:
        """Every document of this nightly run is registered. The next one reads what comes after this
        watermark, and only the files whose state differs from `files`."""
        forgotten = delete(NightlyFileRow).where(
            NightlyFileRow.plan == plan, NightlyFileRow.path == bindparam("old")
        )
        rows = [{"plan": plan, "path": path, **state._asdict()} for path, state in files.items()]
        with write_transaction(self._engine) as connection:
            connection.execute(insert(NightlyRunRow).values(run_id=run_id, plan=plan, watermark=watermark))
            if rows:
                connection.execute(forgotten, [{"old": path} for path in files])
                connection.execute(insert(NightlyFileRow), rows)

    def end_nightly_run(self, run_id: int, report: Mapping[str, Any]) -> None:
        """The nightly run is over; the next one compares itself with `report`, a JSON object."""
        ended = update(NightlyRunRow).where(NightlyRunRow.run_id == run_id)
        with write_transaction(self._engine) as connection:
            connection.execute(ended.values(ended_at=utc_now(), report=report))
