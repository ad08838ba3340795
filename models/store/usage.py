"""Usage accounting: which run a job's usage is added to.

A job may be in many runs. Its usage goes to the newest run that existed when the job was claimed:
somebody waits for that one, while an older one was stopped, or asked for the same before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Engine, func, select, update

from models.schema.bulk_statements import is_among
from models.schema.database import write_transaction
from models.schema.database_clock import utc_now
from models.schema.tables import JobRow, RunJobRow, RunRow
from models.usage import Usage


class UsageWrites:
    """Adds measured usage to runs; part of `Store`."""

    _engine: Engine

    def add_usage(self, usage: Usage, job_ids: Sequence[int]) -> None:
        """Adds the usage of these jobs to the runs that wait for them, in proportion to their jobs."""
        with write_transaction(self._engine) as connection:
            jobs = Counter(connection.scalars(PAYING_RUNS, {"job_ids": list(job_ids)}))
            # One order for all: workers that lock the same runs wait, and never for each other.
            runs = sorted(jobs)
            parts = usage.divided([jobs[run_id] for run_id in runs]) if runs else []
            for run_id, part in zip(runs, parts, strict=True):
                added = {name: RunRow.__table__.c[name] + amount for name, amount in asdict(part).items()}
                connection.execute(
                    update(RunRow).where(RunRow.id == run_id).values(spent_at=utc_now(), **added)
                )


PAYING_RUNS = (
    select(func.max(RunJobRow.run_id))
    .join(RunRow, RunRow.id == RunJobRow.run_id)
    .join(JobRow, JobRow.id == RunJobRow.job_id)
    .where(is_among(RunJobRow.job_id, "job_ids"), RunRow.created_at <= JobRow.started_at)
    .group_by(RunJobRow.job_id)
)
"""One row for each job: the run that its usage is added to."""
