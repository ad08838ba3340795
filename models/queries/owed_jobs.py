"""Owed jobs: documents to enqueue, workers that hold jobs, the backlog, and documents without an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Engine, Select, func, select

from models.answers import Task
from models.documents import Document
from models.jobs import JobStatus, Question, Recipe
from models.schema.database import read_transaction
from models.schema.database_clock import epoch_now
from models.schema.job_conditions import IS_RUNNING, IS_URGENT, OWED_OR_RUNNING
from models.schema.tables import DocumentRow, JobRow
from models.store.claims import is_owed, is_served_by, quarantine_conditions
from models.store.existing_jobs import JobKey, stored_jobs

_ENDED = (JobStatus.FINISHED, JobStatus.FAILED)


class OwedQueries:
    """Reads which documents have owed jobs; part of `Queries`."""

    _engine: Engine

    def owed_documents(
        self,
        *,
        serving_id: str | None = None,
        older_than_seconds: float,
        limit: int,
        is_urgent: bool = False,
        is_quarantined: bool | None = None,
    ) -> list[int]:
        """One document for each text with a job that is pending or has an expired lease, unless a message for
        that text was sent in the last `older_than_seconds`. `serving_id`: only jobs that it can answer;
        `is_urgent`: only urgent jobs; `is_quarantined`: only jobs with an earlier claim that did not end, or
        only jobs without one."""
        statement = owed_statement(
            serving_id, older_than_seconds, limit, is_urgent=is_urgent, is_quarantined=is_quarantined
        )
        with read_transaction(self._engine) as connection:
            return list(connection.scalars(statement))

    def busy_workers(self) -> list[str]:
        """The names of the workers that hold jobs, including dead ones whose leases have not expired."""
        holding = select(JobRow.worker).where(IS_RUNNING).distinct()
        with read_transaction(self._engine) as connection:
            return [worker for worker in connection.scalars(holding) if worker is not None]


def owed_statement(
    serving_id: str | None,
    older_than_seconds: float,
    limit: int,
    *,
    is_urgent: bool = False,
    is_quarantined: bool | None = None,
) -> Select[int]:
    """The statement of Queries.owed_documents: walks the index of owed jobs in its order up to the limit."""
    is_served = () if serving_id is None else (is_served_by(serving_id),)
    urgent = (IS_URGENT,) if is_urgent else ()
    last_sent = func.max(func.coalesce(DocumentRow.enqueued_epoch, 0))
    return (
        select(func.min(DocumentRow.id))
        .select_from(JobRow)
        .join(DocumentRow, DocumentRow.text_sha256 == JobRow.text_sha256)
        .where(is_owed(), *is_served, *urgent, *quarantine_conditions(is_quarantined))
        .group_by(JobRow.text_sha256)
        .having(last_sent < epoch_now() - older_than_seconds)
        .order_by(JobRow.text_sha256)
        .limit(limit)
    )


class Backlog(BaseModel):
    """Pending and running jobs of all runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pending: dict[Task, int]
    running: dict[Task, int]
    oldest_seconds: float
    """The age of the oldest pending job; 0 if none is pending."""


def backlog(engine: Engine) -> Backlog:
    """Counts pending and running jobs over the index of owed jobs."""
    counted = (
        select(JobRow.task, JobRow.status, func.count(), func.min(JobRow.created_at))
        .where(OWED_OR_RUNNING)
        .group_by(JobRow.task, JobRow.status)
    )
    with read_transaction(engine) as connection:
        rows = connection.execute(counted).all()
    by_status = {
        status: {Task(row[0]): row[2] for row in rows if row[1] == status}
        for status in (JobStatus.PENDING, JobStatus.RUNNING)
    }
    oldest = min((row[3] for row in rows if row[1] == JobStatus.PENDING), default=None)
    age = 0.0 if oldest is None else max(0.0, (datetime.now(UTC) - oldest).total_seconds())
    return Backlog(
        pending=by_status[JobStatus.PENDING], running=by_status[JobStatus.RUNNING], oldest_seconds=age
    )


def unanswered(
    engine: Engine,
    documents: Sequence[Document],
    questions: Sequence[Question],
    recipes: Mapping[Task, Recipe],
) -> list[Document]:
    """The documents of a batch with a question that has no answer, one for each text. Writes nothing."""
    by_text = {document.text_sha256: document for document in documents}
    wanted = {
        JobKey(sha, question.task.value, question.parameters_sha256, recipes[question.task].id)
        for sha in by_text
        for question in questions
    }
    with read_transaction(engine) as connection:
        stored = stored_jobs(connection, wanted) if wanted else {}
    ended = {key for key, job in stored.items() if JobStatus(job.status) in _ENDED}
    open_texts = {key.text_sha256 for key in wanted - ended}
    return [document for sha, document in by_text.items() if sha in open_texts]
