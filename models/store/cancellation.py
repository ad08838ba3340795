"""What nobody wants any more: jobs whose every run is cancelled.

A job is shared by the runs that asked for it, so cancelling a run takes back only what no other run
waits for. Registration and cancelling must not overlap: a job about to be wanted looks unwanted.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, exists, func, select, update

from models.errors import UsageError
from models.jobs import JobStatus
from models.schema.database_clock import utc_now
from models.schema.tables import JobRow, RunJobRow, RunRow

_LOCK_NUMBER = 0x6E6F7465
"""Of the advisory lock on PostgreSQL, any constant; on SQLite there is one writer anyway."""


def hold_registration(connection: Connection) -> None:
    """Until the transaction ends no other one registers or cancels: a batch takes about 0.2 s.

    Two registrations of the same texts in different orders would lock each other out besides.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK_NUMBER)))


def is_wanted() -> ColumnElement[bool]:
    """Of a row of jobs: some run that is not cancelled asked for it."""
    return exists().where(
        RunJobRow.job_id == JobRow.id, RunRow.id == RunJobRow.run_id, RunRow.cancelled_at.is_(None)
    )


def cancel(connection: Connection, run_id: int) -> int:
    """See Store.cancel."""
    hold_registration(connection)
    marked = connection.execute(update(RunRow).where(RunRow.id == run_id).values(cancelled_at=utc_now()))
    if marked.rowcount == 0:
        raise UsageError(f"there is no run {run_id}: `notemill status` lists the runs.")
    of_run = select(RunJobRow.job_id).where(RunJobRow.run_id == run_id)
    return _cancel_jobs(connection, JobRow.id.in_(of_run))


def cancel_unwanted(connection: Connection, job_ids: Sequence[int]) -> int:
    """Cancels those of the jobs that are pending and wanted by no run; returns how many."""
    hold_registration(connection)
    return _cancel_jobs(connection, JobRow.id.in_(job_ids))


def _cancel_jobs(connection: Connection, chosen: ColumnElement[bool]) -> int:
    statement = update(JobRow).where(chosen, JobRow.status == JobStatus.PENDING.value, ~is_wanted())
    cancelled = {"status": JobStatus.CANCELLED.value, "finished_at": utc_now(), "lease_until_epoch": None}
    return connection.execute(statement.values(**cancelled)).rowcount
