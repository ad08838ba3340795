"""Runs: their progress, usage and traces, and the serving that questions are asked under."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, func, select

from models.answers import Task
from models.errors import UsageError
from models.jobs import JobStatus, Serving
from models.progress import RunProgress
from models.schema.database import read_transaction
from models.schema.tables import JobRow, RunJobRow, RunRow, ServingRow
from models.usage import USAGE_FIELDS, RunUsage, Usage


class RunQueries:
    """Reads runs; part of `Queries`."""

    _engine: Engine

    def current_serving(self) -> Serving | None:
        """The newest serving that a worker announced; None if no worker ever did."""
        newest = select(ServingRow.ingredients).order_by(ServingRow.announced_at.desc()).limit(1)
        with read_transaction(self._engine) as connection:
            ingredients = connection.scalars(newest).one_or_none()
        return None if ingredients is None else Serving(ingredients=ingredients)

    def latest_run_id(self) -> int | None:
        with read_transaction(self._engine) as connection:
            return connection.scalars(select(func.max(RunRow.id))).one()

    def run_progress(self, run_id: int) -> RunProgress:
        """The progress of one run. Raises UsageError if there is no such run."""
        with read_transaction(self._engine) as connection:
            runs = _progress(connection, select(RunRow.id).where(RunRow.id == run_id))
        if not runs:
            raise _no_run(run_id)
        return runs[0]

    def runs(self, limit: int) -> list[RunProgress]:
        """The last runs, newest first."""
        with read_transaction(self._engine) as connection:
            return _progress(connection, select(RunRow.id).order_by(RunRow.id.desc()).limit(limit))

    def run_usage(self, run_id: int) -> RunUsage:
        """The usage of one run. Raises UsageError if there is no such run."""
        columns = RunRow.__table__.c
        statement = select(columns.spent_at, *(columns[name] for name in USAGE_FIELDS)).where(
            columns.id == run_id
        )
        with read_transaction(self._engine) as connection:
            row = connection.execute(statement).mappings().one_or_none()
        if row is None:
            raise _no_run(run_id)
        return RunUsage(Usage(**{name: row[name] for name in USAGE_FIELDS}), row["spent_at"])

    def traceparent_of(self, job_ids: Sequence[int]) -> str | None:
        """The traceparent of the newest traced run that asked for one of these jobs; None without one."""
        newest = (
            select(RunRow.traceparent)
            .join(RunJobRow, RunJobRow.run_id == RunRow.id)
            .where(RunJobRow.job_id.in_(job_ids), RunRow.traceparent.is_not(None))
            .order_by(RunRow.id.desc())
            .limit(1)
        )
        with read_transaction(self._engine) as connection:
            return connection.scalars(newest).one_or_none()


def require_run(engine: Engine, run_id: int) -> None:
    """Raises UsageError if there is no such run."""
    with read_transaction(engine) as connection:
        if connection.scalars(select(RunRow.id).where(RunRow.id == run_id)).one_or_none() is None:
            raise _no_run(run_id)


def _progress(connection: Connection, run_ids: Select[int]) -> list[RunProgress]:
    runs = {row.id: row for row in connection.execute(select(RunRow.__table__).where(RunRow.id.in_(run_ids)))}
    shared = (
        select(RunJobRow.run_id, RunJobRow.job_id).where(RunJobRow.run_id.in_(runs)).distinct().subquery()
    )
    is_since_start = JobRow.started_at >= RunRow.created_at
    is_from_before = JobRow.finished_at < RunRow.created_at
    counted = (
        select(
            shared.c.run_id,
            JobRow.task,
            JobRow.status,
            JobRow.reason,
            func.count().label("jobs"),
            func.count().filter(is_from_before).label("from_before"),
            func.min(JobRow.started_at).filter(is_since_start).label("first_started_at"),
            func.max(JobRow.finished_at).filter(~is_from_before).label("last_finished_at"),
        )
        .join_from(shared, JobRow, JobRow.id == shared.c.job_id)
        .join(RunRow, RunRow.id == shared.c.run_id)
        .group_by(shared.c.run_id, JobRow.task, JobRow.status, JobRow.reason)
    )
    groups = connection.execute(counted).all()
    return [
        _run(runs[id_], [group for group in groups if group.run_id == id_])
        for id_ in sorted(runs, reverse=True)
    ]


def _run(run: Row[Any], groups: list[Any]) -> RunProgress:
    by_status = dict.fromkeys(JobStatus, 0)
    by_task: dict[Task, dict[JobStatus, int]] = {}
    reasons: dict[str, int] = {}
    for group in groups:
        status, task = JobStatus(group.status), Task(group.task)
        by_status[status] += group.jobs
        of_task = by_task.setdefault(task, dict.fromkeys(JobStatus, 0))
        of_task[status] += group.jobs
        if group.reason is not None:
            reasons[group.reason] = reasons.get(group.reason, 0) + group.jobs
    started = [group.first_started_at for group in groups if group.first_started_at]
    finished = [group.last_finished_at for group in groups if group.last_finished_at]
    return RunProgress(
        run_id=run.id,
        created_at=run.created_at,
        is_closed=run.closed_at is not None,
        is_cancelled=run.cancelled_at is not None,
        documents=run.documents,
        refused=run.refused,
        finished_before=sum(g.from_before for g in groups if g.status == JobStatus.FINISHED),
        by_task=by_task,
        reasons=reasons,
        first_started_at=min(started, default=None),
        last_finished_at=max(finished, default=None),
        **{status.value: count for status, count in by_status.items()},
    )


def _no_run(run_id: int) -> UsageError:
    return UsageError(f"there is no run {run_id}: `notemill status` lists the runs.")
