"""Leases: a claim holds until its lease ends without a heartbeat. How claims are renewed and how they end.

All times are the database's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Update, and_, select, update

from models.jobs import AttemptEnd, Job, JobStatus
from models.outcomes import Reason
from models.schema.bulk_statements import is_among
from models.schema.database import write_transaction
from models.schema.database_clock import epoch_now, utc_now
from models.schema.job_conditions import IS_RUNNING
from models.schema.tables import AttemptRow, JobRow

NOT_RUNNING = {"worker": None, "lease_until_epoch": None}


class LeaseWrites:
    """Renews and ends claims; part of `Store`."""

    _engine: Engine

    def renew(self, worker: str, lease_seconds: float) -> int:
        """The heartbeat: the lease of every job of this worker restarts. Returns the number of its jobs."""
        with write_transaction(self._engine) as connection:
            return connection.execute(renewal(worker, lease_seconds)).rowcount

    def release_claims(self, worker: str) -> int:
        """Makes the worker's running jobs pending at its orderly shutdown; their attempts do not count.
        Returns the number of jobs."""
        running = select(JobRow.id).where(_is_running(worker)).order_by(JobRow.id).with_for_update()
        values = {"attempts_forgiven": JobRow.attempts_forgiven + 1, **NOT_RUNNING}
        with write_transaction(self._engine) as connection:
            ids = list(connection.scalars(running))
            end_attempts(connection, ids, AttemptEnd.GIVEN_BACK)
            set_pending(connection, JobRow.id.in_(ids), values)
        return len(ids)

    def requeue(
        self,
        jobs: Sequence[Job],
        *,
        reason: Reason = Reason.CRASHED,
        detail: str,
        wait_seconds: float = 0.0,
        max_attempts: int,
    ) -> int:
        """Makes jobs pending after an unexpected exception, to be claimed after `wait_seconds`. The attempt
        counts; after the last one the jobs fail with `reason`. Does not change jobs that a later claim owns.

        `detail`: the type of the exception, never its text. Returns the number of pending jobs.
        """
        is_last = JobRow.attempts - JobRow.attempts_forgiven - JobRow.kills >= max_attempts
        last = update(JobRow).where(is_last).values(**failed_columns(reason, detail))
        waiting = {"worker": None, "lease_until_epoch": epoch_now() + wait_seconds}
        with write_transaction(self._engine) as connection:
            given_up = [job.id for job in jobs if connection.execute(last.where(is_held(job))).rowcount]
            pending = [job.id for job in jobs if set_pending(connection, is_held(job), waiting)]
            end_attempts(connection, given_up, AttemptEnd.FAILED)
            end_attempts(connection, pending, AttemptEnd.RELEASED)
        return len(pending)

    def expire_leases(self, worker: str) -> int:
        """The worker is known to be dead: the leases of its jobs end now. Returns the number of jobs."""
        ended = update(JobRow).where(_is_running(worker)).values(lease_until_epoch=epoch_now() - 1)
        with write_transaction(self._engine) as connection:
            return connection.execute(ended).rowcount


def renewal(worker: str, lease_seconds: float) -> Update:
    """The statement of the heartbeat: sent every few seconds, while the table may hold millions of jobs."""
    locked = select(JobRow.id).where(_is_running(worker)).order_by(JobRow.id).with_for_update(key_share=True)
    return update(JobRow).where(JobRow.id.in_(locked)).values(lease_until_epoch=epoch_now() + lease_seconds)


def is_held(job: Job) -> ColumnElement[bool]:
    """Condition on a row of jobs: it is this job, and no later claim took it."""
    return and_(JobRow.id == job.id, JobRow.attempts == job.attempt, JobRow.status == JobStatus.RUNNING.value)


def held_claims(connection: Connection, jobs: Sequence[Job]) -> set[tuple[int, int]]:
    """The claims, as pairs of job and attempt, that no later claim replaced; locks their rows.

    Locks in the order of the jobs, as `renewal` does, so that two transactions cannot deadlock.
    """
    running = connection.execute(_HELD, {"job_ids": [job.id for job in jobs]}).all()
    return {(row.id, row.attempts) for row in running} & {(job.id, job.attempt) for job in jobs}


_HELD = (
    select(JobRow.id, JobRow.attempts)
    .where(is_among(JobRow.id, "job_ids"), JobRow.status == JobStatus.RUNNING.value)
    .order_by(JobRow.id)
    .with_for_update(key_share=True)
)


def forgive_expired_leases(connection: Connection, late: Sequence[Job]) -> None:
    """A worker that records an outcome after its lease expired was silent, not dead: that expiry counts
    neither as a dead worker nor as an unexpected error of the job."""
    for job in sorted(late, key=lambda job: job.id):
        is_this = and_(AttemptRow.job_id == job.id, AttemptRow.attempt == job.attempt)
        is_expired = AttemptRow.ended_as == AttemptEnd.LEASE_EXPIRED.value
        expired = update(AttemptRow).where(is_this, is_expired).values(ended_as=AttemptEnd.RELEASED.value)
        if connection.execute(expired).rowcount:
            counted = and_(JobRow.id == job.id, JobRow.kills > 0)
            forgiven = {"kills": JobRow.kills - 1, "attempts_forgiven": JobRow.attempts_forgiven + 1}
            connection.execute(update(JobRow).where(counted).values(**forgiven))


def end_attempts(connection: Connection, job_ids: Sequence[int], end: AttemptEnd) -> None:
    """Ends the open claim of each job, if there is one."""
    if job_ids:
        is_open = and_(AttemptRow.job_id.in_(job_ids), AttemptRow.ended_at.is_(None))
        ended = {"ended_at": utc_now(), "ended_as": end.value}
        connection.execute(update(AttemptRow).where(is_open).values(**ended))


def set_pending(connection: Connection, is_selected: ColumnElement[bool], values: dict[str, Any]) -> int:
    """Makes the jobs pending and sets these values; returns the number of jobs."""
    statement = update(JobRow).where(is_selected).values(status=JobStatus.PENDING.value, **values)
    return connection.execute(statement).rowcount


def failed_columns(reason: Reason, detail: str) -> dict[str, Any]:
    """The values of a job that fails now."""
    ended = {"reason": reason.value, "detail": detail, "finished_at": utc_now()}
    return {"status": JobStatus.FAILED.value, **ended, **NOT_RUNNING}


def _is_running(worker: str) -> ColumnElement[bool]:
    return and_(JobRow.worker == worker, IS_RUNNING)
