"""Which run pays for what a worker has spent. Functions on an open transaction; `models.store` opens it.

A job may be in many runs. The newest one that was there when the job was taken pays: somebody waits
for that one, while an older one was stopped, or asked for the same before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice

from sqlalchemy import Connection, Select, func, select, update

from models.clock import utc_now
from models.spending import NAMES, Charged, Spent
from models.tables import JobRow, RunJobRow, RunRow

_JOBS_A_QUERY = 1_000


def charge(connection: Connection, spent: Spent, job_ids: Sequence[int]) -> None:
    """See Store.charge."""
    jobs: Counter[int] = Counter()
    for some in _batches(job_ids):
        jobs.update(connection.scalars(paying_runs(some)))
    runs = sorted(jobs)  # one order for all: workers that lock the same runs wait, and never for each other
    parts = spent.divided([jobs[run_id] for run_id in runs]) if runs else []
    for run_id, part in zip(runs, parts, strict=True):
        added = {name: RunRow.__table__.c[name] + amount for name, amount in asdict(part).items()}
        connection.execute(update(RunRow).where(RunRow.id == run_id).values(spent_at=utc_now(), **added))


def paying_runs(job_ids: Sequence[int]) -> Select[int]:
    """A row a job: the run that pays for it."""
    return (
        select(func.max(RunJobRow.run_id))
        .join(RunRow, RunRow.id == RunJobRow.run_id)
        .join(JobRow, JobRow.id == RunJobRow.job_id)
        .where(RunJobRow.job_id.in_(job_ids), RunRow.created_at <= JobRow.started_at)
        .group_by(RunJobRow.job_id)
    )


def charged(connection: Connection, run_id: int) -> Charged | None:
    """What was spent on a run; none where there is no such run."""
    columns = RunRow.__table__.c
    statement = select(columns.spent_at, *(columns[name] for name in NAMES)).where(columns.id == run_id)
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else Charged(Spent(**{name: row[name] for name in NAMES}), row["spent_at"])


def _batches(job_ids: Sequence[int]) -> Iterator[list[int]]:
    left = iter(job_ids)
    while some := list(islice(left, _JOBS_A_QUERY)):
        yield some
