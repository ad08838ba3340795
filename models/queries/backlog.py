"""How much is owed at this moment, and for how long: what an operator's alarm looks at."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Engine, func, select

from models.answers import Task
from models.jobs import JobStatus
from models.schema.database import reading
from models.schema.tables import OWED_OR_RUNNING, JobRow


class Waiting(BaseModel):
    """Jobs of all runs that are not over; walks the index of owed jobs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pending: dict[Task, int]
    running: dict[Task, int]
    oldest_seconds: float
    """Since the oldest pending job was asked for; 0 where none is pending."""


def waiting(engine: Engine) -> Waiting:
    """Counts what is owed."""
    counted = (
        select(JobRow.task, JobRow.status, func.count(), func.min(JobRow.created_at))
        .where(OWED_OR_RUNNING)
        .group_by(JobRow.task, JobRow.status)
    )
    with reading(engine) as connection:
        rows = connection.execute(counted).all()
    by_status = {
        status: {Task(row[0]): row[2] for row in rows if row[1] == status}
        for status in (JobStatus.PENDING, JobStatus.RUNNING)
    }
    oldest = min((row[3] for row in rows if row[1] == JobStatus.PENDING), default=None)
    age = 0.0 if oldest is None else max(0.0, (datetime.now(UTC) - oldest).total_seconds())
    return Waiting(
        pending=by_status[JobStatus.PENDING], running=by_status[JobStatus.RUNNING], oldest_seconds=age
    )
