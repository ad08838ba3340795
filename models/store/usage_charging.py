"""Which run pays for what a worker has spent. Functions on an open transaction; `models.store.store` opens it.

A job may be in many runs. The newest one that was there when the job was taken pays: somebody waits
for that one, while an older one was stopped, or asked for the same before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, func, select, update

from models.schema.bulk_statements import is_among
from models.schema.database_clock import utc_now
from models.schema.tables import JobRow, RunJobRow, RunRow
from models.usage import NAMES, Charged, Spent


def charge(connection: Connection, spent: Spent, job_ids: Sequence[int]) -> None:
    """See Store.charge."""
    jobs = Counter(connection.scalars(PAYING_RUNS, {"job_ids": list(job_ids)}))
    runs = sorted(jobs)  # one order for all: workers that lock the same runs wait, and never for each other
    parts = spent.divided([jobs[run_id] for run_id in runs]) if runs else []
    for run_id, part in zip(runs, parts, strict=True):
        added = {name: RunRow.__table__.c[name] + amount for name, amount in asdict(part).items()}
        connection.execute(update(RunRow).where(RunRow.id == run_id).values(spent_at=utc_now(), **added))


PAYING_RUNS = (
    select(func.max(RunJobRow.run_id))
    .join(RunRow, RunRow.id == RunJobRow.run_id)
    .join(JobRow, JobRow.id == RunJobRow.job_id)
    .where(is_among(RunJobRow.job_id, "job_ids"), RunRow.created_at <= JobRow.started_at)
    .group_by(RunJobRow.job_id)
)
"""A row a job: the run that pays for it."""


def charged(connection: Connection, run_id: int) -> Charged | None:
    """What was spent on a run; none where there is no such run."""
    columns = RunRow.__table__.c
    statement = select(columns.spent_at, *(columns[name] for name in NAMES)).where(columns.id == run_id)
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else Charged(Spent(**{name: row[name] for name in NAMES}), row["spent_at"])
