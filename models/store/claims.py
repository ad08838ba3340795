"""Claims: which jobs are owed, and which worker takes them. `models.store.leases` renews and ends claims.

All times are the database's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Engine,
    Float,
    Row,
    Select,
    String,
    TextClause,
    and_,
    bindparam,
    case,
    or_,
    select,
    update,
)

from models.jobs import AttemptEnd, Job, JobStatus, Question, Work
from models.labels import Label
from models.outcomes import Reason
from models.schema.bulk_statements import insert_rows, is_among
from models.schema.database import write_transaction
from models.schema.database_clock import epoch_now, utc_now
from models.schema.job_conditions import IS_QUARANTINED, OWED_OR_RUNNING
from models.schema.tables import AttemptRow, DocumentRow, JobRow, RecipeRow, ServingBaseRow, TextRow
from models.store.cancellation import cancel_unwanted, is_wanted
from models.store.leases import NOT_RUNNING, end_attempts, failed_columns, set_pending


class ClaimWrites:
    """A worker takes owed jobs; part of `Store`."""

    _engine: Engine

    def claim(
        self,
        document_ids: Sequence[int],
        *,
        worker: str,
        serving_id: str,
        lease_seconds: float,
        max_kills: int,
        is_quarantined: bool | None = None,
    ) -> list[Work | None]:
        """Claims, for each document, the jobs owed on its text that the announced serving can answer. None
        if there are no such jobs, or if an earlier one of these documents has the same text.

        The jobs are this worker's until the lease ends without `renew`. A job that `max_kills` workers died
        on fails (`killed_worker`); a job whose every run was cancelled is cancelled.
        `is_quarantined`: only jobs with an earlier claim that did not end, or only jobs without one. `worker`
        names one process for its lifetime, not a machine.
        """
        with write_transaction(self._engine) as connection:
            shas = _text_of_documents(connection, document_ids)
            of_texts = {"shas": list(shas), "serving_id": serving_id}
            owed = connection.execute(owed_jobs(is_quarantined), of_texts).all()
            expired = [row.id for row in owed if row.status == JobStatus.RUNNING]
            end_attempts(connection, expired, AttemptEnd.LEASE_EXPIRED)
            unwanted = _cancelled(connection, [row.id for row in owed if not row.is_wanted])
            exhausted = {row.id for row in owed if _kills(row) >= max_kills}
            _fail(connection, exhausted, max_kills)
            taken = [row for row in owed if row.id not in unwanted | exhausted]
            work = _take(connection, taken, shas, worker, lease_seconds) if taken else {}
        return [work.pop(document_id, None) for document_id in document_ids]


def is_owed() -> ColumnElement[bool]:
    """Condition on a row of jobs: pending and not delayed, or running with an expired lease."""
    is_over = JobRow.lease_until_epoch < epoch_now()
    is_ready = and_(
        JobRow.status == JobStatus.PENDING.value, or_(JobRow.lease_until_epoch.is_(None), is_over)
    )
    return and_(OWED_OR_RUNNING, or_(is_ready, and_(JobRow.status == JobStatus.RUNNING.value, is_over)))


def quarantine_conditions(is_quarantined: bool | None) -> tuple[ColumnElement[bool] | TextClause, ...]:
    """Conditions on a row of jobs: in quarantine or not; none if `is_quarantined` is None."""
    if is_quarantined is None:
        return ()
    return (IS_QUARANTINED,) if is_quarantined else (JobRow.attempts == JobRow.attempts_forgiven,)


def is_served_by(serving_id: str | BindParameter[str]) -> ColumnElement[bool]:
    """Condition on a row of jobs: the announced serving answers under the job's recipe."""
    bases = select(ServingBaseRow.base_id).where(ServingBaseRow.serving_id == serving_id)
    return JobRow.recipe_id.in_(select(RecipeRow.id).where(RecipeRow.base_id.in_(bases)))


def _text_of_documents(connection: Connection, document_ids: Sequence[int]) -> dict[str, int]:
    """Maps the sha256 of each text to the first of the documents that have it."""
    rows = connection.execute(_TEXT_OF_DOCUMENTS, {"document_ids": list(document_ids)})
    shas = {row.id: row.text_sha256 for row in rows}
    return {shas[id_]: id_ for id_ in reversed(document_ids) if id_ in shas}


_TEXT_OF_DOCUMENTS = select(DocumentRow.id, DocumentRow.text_sha256).where(
    is_among(DocumentRow.id, "document_ids")
)


_CLAIMED_COLUMNS: tuple[Any, ...] = (
    JobRow.id,
    JobRow.text_sha256,
    JobRow.task,
    JobRow.parameters,
    JobRow.recipe_id,
    JobRow.status,
    JobRow.attempts,
    JobRow.attempts_forgiven,
    JobRow.kills,
    JobRow.is_urgent,
)


@cache
def owed_jobs(is_quarantined: bool | None = None) -> Select[*tuple[Any, ...]]:
    """The statement of `claim`: jobs owed on texts of these `shas` that the serving can answer, locked."""
    is_served = is_served_by(bindparam("serving_id", type_=String()))
    return (
        select(*_CLAIMED_COLUMNS, is_wanted().label("is_wanted"))
        .where(
            is_among(JobRow.text_sha256, "shas"), is_owed(), is_served, *quarantine_conditions(is_quarantined)
        )
        .order_by(JobRow.id)
        # PostgreSQL: skips jobs that another worker is claiming now. KEY SHARE allows a registration to refer
        # to these jobs meanwhile. SQLite has one writer and ignores the clause.
        .with_for_update(skip_locked=True, key_share=True, of=JobRow)
    )


def _cancelled(connection: Connection, unwanted: list[int]) -> set[int]:
    """Cancels jobs whose every run was cancelled; a concurrent registration may want them again."""
    if not unwanted:
        return set()
    set_pending(connection, JobRow.id.in_(unwanted), NOT_RUNNING)
    cancel_unwanted(connection, unwanted)
    return set(unwanted)


def _kills(row: Row[*tuple[Any, ...]]) -> int:
    """Dead workers of the job, including the one that this claim has found."""
    return int(row.kills) + int(row.status == JobStatus.RUNNING)


def _fail(connection: Connection, exhausted: Collection[int], max_kills: int) -> None:
    if exhausted:
        detail = f"its worker died or fell silent {max_kills} times"
        values = {**failed_columns(Reason.KILLED_WORKER, detail), "kills": _KILLS}
        connection.execute(update(JobRow).where(JobRow.id.in_(exhausted)).values(**values))


_KILLS = JobRow.kills + case((JobRow.status == JobStatus.RUNNING.value, 1), else_=0)
"""A running job that can be claimed has an expired lease: its worker is taken for dead."""


def _take(
    connection: Connection,
    rows: Sequence[Row[*tuple[Any, ...]]],
    shas: Mapping[str, int],
    worker: str,
    lease_seconds: float,
) -> dict[int, Work]:
    """Claims the jobs; returns the work of each document. `shas`: the document of each text."""
    taken = {"job_ids": [row.id for row in rows], "by_worker": worker, "lease_seconds": lease_seconds}
    connection.execute(_TAKE, taken)
    attempts = [{"job_id": row.id, "attempt": row.attempts + 1, "worker": worker} for row in rows]
    insert_rows(connection, AttemptRow, attempts)
    recipes = connection.execute(_LABELS, {"recipe_ids": list({row.recipe_id for row in rows})})
    labels = {id_: tuple(Label(**label) for label in stored) for id_, stored in recipes}
    urgent = {row.text_sha256 for row in rows if row.is_urgent}
    jobs: dict[str, list[Job]] = defaultdict(list)
    for row in rows:
        jobs[row.text_sha256].append(_job(row, labels[row.recipe_id]))
    return {
        shas[sha]: Work(document_id=shas[sha], text=text, jobs=tuple(jobs[sha]), is_urgent=sha in urgent)
        for sha, text in connection.execute(_TEXTS, {"shas": list(jobs)})
    }


_TAKE = (
    update(JobRow)
    .where(is_among(JobRow.id, "job_ids"))
    .values(
        status=JobStatus.RUNNING.value,
        attempts=JobRow.attempts + 1,
        kills=_KILLS,
        worker=bindparam("by_worker"),
        lease_until_epoch=epoch_now() + bindparam("lease_seconds", type_=Float()),
        started_at=utc_now(),
    )
)
_LABELS = select(RecipeRow.id, RecipeRow.labels).where(is_among(RecipeRow.id, "recipe_ids"))
_TEXTS = select(TextRow.sha256, TextRow.text).where(is_among(TextRow.sha256, "shas"))


def _job(row: Row[*tuple[Any, ...]], labels: tuple[Label, ...]) -> Job:
    return Job(
        id=row.id,
        question=Question(task=row.task, parameters=row.parameters),
        recipe_id=row.recipe_id,
        labels=labels,
        attempt=row.attempts + 1,
        unexpected_errors=max(0, row.attempts - row.attempts_forgiven - _kills(row)),
    )
