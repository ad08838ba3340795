"""Cancellation: runs, and the pending jobs that no other run waits for.

Several runs share a job, so cancelling one run cancels only the jobs that no other run asked for.
Registration and cancellation must not overlap: a job that is about to be asked for looks unwanted.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, Engine, exists, func, select, update

from models.errors import UsageError
from models.jobs import JobStatus
from models.schema.database import write_transaction
from models.schema.database_clock import utc_now
from models.schema.tables import JobRow, RunJobRow, RunRow
from models.security import audit_trail
from models.security.audit_trail import Action

_LOCK_NUMBER = 0x6E6F7465
"""The number of the advisory lock on PostgreSQL: any constant. SQLite has one writer anyway."""


class CancellationWrites:
    """Cancels runs; part of `Store`."""

    _engine: Engine
    _actor: str

    def cancel(self, run_id: int) -> int:
        """Cancels the run's pending jobs that no other run waits for; returns their number. Running jobs
        finish, and their answers stay. Raises UsageError where there is no such run."""
        cancelled = update(RunRow).where(RunRow.id == run_id).values(cancelled_at=utc_now())
        of_run = select(RunJobRow.job_id).where(RunJobRow.run_id == run_id)
        with write_transaction(self._engine) as connection:
            hold_registration(connection)
            if connection.execute(cancelled).rowcount == 0:
                raise UsageError(f"there is no run {run_id}: `notemill status` lists the runs.")
            jobs = _cancel_jobs(connection, JobRow.id.in_(of_run))
            subject = {"run": run_id, "jobs": jobs}
            audit_trail.append(connection, Action.CANCEL, subject, actor=self._actor)
        return jobs


def hold_registration(connection: Connection) -> None:
    """Locks registration and cancellation until the transaction ends; a batch takes about 0.2 s.

    Without the lock, two registrations of the same texts in different orders could deadlock.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK_NUMBER)))


def is_wanted() -> ColumnElement[bool]:
    """Condition on a row of jobs: a run that is not cancelled asked for it."""
    return exists().where(
        RunJobRow.job_id == JobRow.id, RunRow.id == RunJobRow.run_id, RunRow.cancelled_at.is_(None)
    )


def cancel_unwanted(connection: Connection, job_ids: Sequence[int]) -> int:
    """Cancels the jobs that are pending and wanted by no run; returns their number."""
    hold_registration(connection)
    return _cancel_jobs(connection, JobRow.id.in_(job_ids))


def _cancel_jobs(connection: Connection, is_selected: ColumnElement[bool]) -> int:
    statement = update(JobRow).where(is_selected, JobRow.status == JobStatus.PENDING.value, ~is_wanted())
    cancelled = {"status": JobStatus.CANCELLED.value, "finished_at": utc_now(), "lease_until_epoch": None}
    return connection.execute(statement.values(**cancelled)).rowcount
