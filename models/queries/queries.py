"""Every read: what was asked, how far it is, what came out. Values and dictionaries, never rows."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, func, select

from models.answers import Task
from models.corrections import Correction
from models.documents import StoredDocument
from models.errors import UsageError
from models.jobs import JobStatus, Serving
from models.migrations import schema_version
from models.progress import RunProgress
from models.queries import corrected_notes, note_export, results
from models.schema import full_text_search
from models.schema.database import reading
from models.schema.database_clock import epoch_now
from models.schema.tables import (
    IS_RUNNING,
    IS_URGENT,
    DocumentRow,
    JobRow,
    RunJobRow,
    RunRow,
    ServingRow,
    TextRow,
)
from models.store.claims import has_suspicion, is_owed, is_served_by
from models.usage import NAMES, Charged, Spent


class Queries:
    """Reads from one database; safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        """`engine` comes from `models.schema.database.connect`."""
        self._engine = engine

    def schema_state(self) -> schema_version.SchemaState:
        """`empty`, `current`, `behind` or `ahead` of this notemill."""
        return schema_version.state(self._engine)

    def current_serving(self) -> Serving | None:
        """What the worker that announced itself last is made of; none where no worker ever did."""
        newest = select(ServingRow.ingredients).order_by(ServingRow.announced_at.desc()).limit(1)
        with reading(self._engine) as connection:
            ingredients = connection.scalars(newest).one_or_none()
        return None if ingredients is None else Serving(ingredients=ingredients)

    def latest_run_id(self) -> int | None:
        with reading(self._engine) as connection:
            return connection.scalars(select(func.max(RunRow.id))).one()

    def run_progress(self, run_id: int) -> RunProgress:
        """The counts of one run. Raises UsageError where there is no such run."""
        with reading(self._engine) as connection:
            found = _progress(connection, select(RunRow.id).where(RunRow.id == run_id))
        if not found:
            raise _no_run(run_id)
        return found[0]

    def charged(self, run_id: int) -> Charged:
        """What workers have spent on one run. Raises UsageError where there is no such run."""
        columns = RunRow.__table__.c
        statement = select(columns.spent_at, *(columns[name] for name in NAMES)).where(columns.id == run_id)
        with reading(self._engine) as connection:
            row = connection.execute(statement).mappings().one_or_none()
        if row is None:
            raise _no_run(run_id)
        return Charged(Spent(**{name: row[name] for name in NAMES}), row["spent_at"])

    def traceparent_of(self, job_ids: Sequence[int]) -> str | None:
        """Of the newest run that asked for one of these jobs and is traced; none where none is."""
        newest = (
            select(RunRow.traceparent)
            .join(RunJobRow, RunJobRow.run_id == RunRow.id)
            .where(RunJobRow.job_id.in_(job_ids), RunRow.traceparent.is_not(None))
            .order_by(RunRow.id.desc())
            .limit(1)
        )
        with reading(self._engine) as connection:
            return connection.scalars(newest).one_or_none()

    def runs(self, limit: int) -> list[RunProgress]:
        """The last runs, newest first."""
        with reading(self._engine) as connection:
            return _progress(connection, select(RunRow.id).order_by(RunRow.id.desc()).limit(limit))

    def results(
        self, *, run_id: int | None = None, task: Task | None = None, status: JobStatus | None = None
    ) -> Iterator[dict[str, Any]]:
        """One JSON object a job of a document, streamed in the order of the documents.

        Without a run every job of a document once, under the last run that asked for it.
        Raises UsageError where there is no such run.
        """
        conditions: list[ColumnElement[bool]] = []
        if task is not None:
            conditions.append(JobRow.task == Task(task).value)
        if status is not None:
            conditions.append(JobRow.status == JobStatus(status).value)
        if run_id is None:
            return results.stream(self._engine, results.of_all_runs(*conditions))
        self._require_run(run_id)
        return results.stream(self._engine, results.of_run(run_id, *conditions))

    def exported(self, run_id: int | None = None) -> Iterator[note_export.ExportedNote]:
        """Notes with their finished answers, streamed: those of a run, or everybody's newest.
        Raises UsageError where there is no such run."""
        if run_id is not None:
            self._require_run(run_id)
        return note_export.stream(self._engine, run_id)

    def exported_count(self, run_id: int | None = None) -> int:
        """How many notes `exported` gives."""
        return note_export.count(self._engine, run_id)

    def exported_ids(self, run_id: int | None = None) -> Iterator[str]:
        """The external ids of the notes that `exported` gives."""
        return note_export.external_ids(self._engine, run_id)

    def find(self, words: str, *, limit: int) -> list[full_text_search.Found]:
        """The newest summaries and passages in which all of these words stand, the best first.
        Raises UsageError where there is nothing to look for."""
        return full_text_search.find(self._engine, words, limit)

    def document(self, reference: str) -> StoredDocument | None:
        """The newest version under an external id, or with `#12` the document whose id is 12."""
        columns = select(DocumentRow.__table__, TextRow.text).join(
            TextRow, TextRow.sha256 == DocumentRow.text_sha256
        )
        newest = columns.where(DocumentRow.external_id == reference).order_by(DocumentRow.id.desc()).limit(1)
        with reading(self._engine) as connection:
            row = connection.execute(newest).one_or_none()
            if row is None and re.fullmatch(r"#[0-9]{1,18}", reference):
                row = connection.execute(columns.where(DocumentRow.id == int(reference[1:]))).one_or_none()
        if row is None:
            return None
        return StoredDocument(
            id=row.id, external_id=row.external_id, source=row.source, text=row.text, metadata=row.metadata
        )

    def answers_of(self, document_id: int, run_id: int | None = None) -> list[dict[str, Any]]:
        """The results of one document, newest job first: what was asked under a later recipe comes first."""
        return list(results.stream(self._engine, results.of_document(document_id, run_id)))

    def corrections_of(self, text_sha256: str) -> list[Correction]:
        """What people said of the mentions of one text, in the order of the note."""
        with reading(self._engine) as connection:
            return corrected_notes.of_text(connection, text_sha256)

    def annotated_notes(self) -> Iterator[dict[str, Any]]:
        """One record a corrected note, to train on."""
        return corrected_notes.annotated_notes(self._engine)

    def owed_documents(
        self,
        *,
        serving_id: str | None = None,
        older_than_seconds: float,
        limit: int,
        is_urgent: bool = False,
        is_suspect: bool | None = None,
    ) -> list[int]:
        """One document for each text with a job that is pending or whose lease has ended, unless a message
        for that text was sent in the last `older_than_seconds`. With a serving, only what it can answer;
        with `is_urgent`, only what a person waits for; with `is_suspect`, only what came to no end before,
        or nothing of that."""
        statement = owed_statement(
            serving_id, older_than_seconds, limit, is_urgent=is_urgent, is_suspect=is_suspect
        )
        with reading(self._engine) as connection:
            return list(connection.scalars(statement))

    def count_documents(self, ids: Collection[int]) -> int:
        """How many of these are there still."""
        counted = select(func.count()).select_from(DocumentRow).where(DocumentRow.id.in_(ids))
        with reading(self._engine) as connection:
            return connection.scalars(counted).one()

    def busy_workers(self) -> list[str]:
        """The names of the workers that hold jobs, dead ones whose leases are not over among them."""
        holding = select(JobRow.worker).where(IS_RUNNING).distinct()
        with reading(self._engine) as connection:
            return [worker for worker in connection.scalars(holding) if worker is not None]

    def counts(self) -> dict[str, Any]:
        """How much is stored: documents, texts, runs, and jobs by status."""
        by_status = select(JobRow.status, func.count()).group_by(JobRow.status)
        with reading(self._engine) as connection:
            found = {row[0]: row[1] for row in connection.execute(by_status)}
            tables = {"documents": DocumentRow, "texts": TextRow, "runs": RunRow}
            counted = {name: _count(connection, table) for name, table in tables.items()}
        return {**counted, "jobs": {status.value: found.get(status.value, 0) for status in JobStatus}}

    def _require_run(self, run_id: int) -> None:
        with reading(self._engine) as connection:
            if connection.scalars(select(RunRow.id).where(RunRow.id == run_id)).one_or_none() is None:
                raise _no_run(run_id)


def owed_statement(
    serving_id: str | None,
    older_than_seconds: float,
    limit: int,
    *,
    is_urgent: bool = False,
    is_suspect: bool | None = None,
) -> Select[int]:
    """See Queries.owed_documents. Walks the index of owed jobs in its order and stops at the limit."""
    is_served = () if serving_id is None else (is_served_by(serving_id),)
    is_chosen = (IS_URGENT,) if is_urgent else ()
    last_sent = func.max(func.coalesce(DocumentRow.enqueued_epoch, 0))
    return (
        select(func.min(DocumentRow.id))
        .select_from(JobRow)
        .join(DocumentRow, DocumentRow.text_sha256 == JobRow.text_sha256)
        .where(is_owed(), *is_served, *is_chosen, *has_suspicion(is_suspect))
        .group_by(JobRow.text_sha256)
        .having(last_sent < epoch_now() - older_than_seconds)
        .order_by(JobRow.text_sha256)
        .limit(limit)
    )


def _progress(connection: Connection, chosen: Select[int]) -> list[RunProgress]:
    runs = {row.id: row for row in connection.execute(select(RunRow.__table__).where(RunRow.id.in_(chosen)))}
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


def _count(connection: Connection, table: type[Any]) -> int:
    return connection.scalars(select(func.count()).select_from(table)).one()


def _no_run(run_id: int) -> UsageError:
    return UsageError(f"there is no run {run_id}: `notemill status` lists the runs.")
