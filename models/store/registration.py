"""Registration: a batch of documents and the questions on each, in a handful of statements.

Texts, documents and jobs that exist already are found by their keys and kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, Engine, and_, select, update

from models.answers import Task
from models.documents import Document, Refused
from models.jobs import JobStatus, Question, Recipe
from models.schema.bulk_statements import insert_new, is_among
from models.schema.database import write_transaction
from models.schema.database_clock import epoch_now
from models.schema.job_conditions import OWED_OR_RUNNING
from models.schema.tables import DocumentRow, JobRow, RunJobRow, RunRow, TextRow
from models.store.cancellation import hold_registration
from models.store.existing_jobs import JobKey, StoredJob, stored_jobs
from models.store.runs import leave_run

OTHER_TEXT = "duplicate id with other text"
SUPERSEDED = "superseded"
"""The reason if a later version of the note is in the run."""


class Registered(BaseModel):
    """The result of registering one batch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    documents: int
    """Documents that were not in the run before; repeated records count once."""
    new_jobs: int
    known_jobs: int
    """Requested jobs that existed before: finished, failed, or still owed."""
    refused: tuple[Refused, ...]
    owed_document_ids: tuple[int, ...]
    """Documents to enqueue: one for each text with a pending job."""


class _Accepted(NamedTuple):
    document: Document
    text_sha256: str


class RegistrationWrites:
    """Registers documents and marks them as enqueued; part of `Store`."""

    _engine: Engine

    def register(
        self,
        run_id: int,
        documents: Sequence[Document],
        questions: Sequence[Question],
        recipes: Mapping[Task, Recipe],
        *,
        is_urgent: bool = False,
    ) -> Registered:
        """Takes a batch of documents (some hundreds) into the run, with a job for each question.

        Existing jobs stay: a failed job stays failed (`retry` is for those), a cancelled one becomes pending
        again, and with `is_urgent` a waiting one becomes urgent. If a document's id has another text in this
        run, the later version stays; without versions, the first.
        """
        with write_transaction(self._engine) as connection:
            hold_registration(connection)
            in_run = _texts_in_run(connection, run_id, {document.external_id for document in documents})
            accepted, refused, superseded = _newest_versions(documents, in_run)
            leave_run(connection, run_id, superseded)
            ids = _keep_documents(connection, accepted)
            questions_by_key = {(q.task.value, q.parameters_sha256, recipes[q.task].id): q for q in questions}
            requested_jobs = {
                JobKey(entry.text_sha256, *rest): q
                for entry in accepted
                for rest, q in questions_by_key.items()
            }
            existing, jobs = _keep_jobs(connection, requested_jobs, is_urgent=is_urgent)
            pairs = [
                (ids[entry.document.external_id], jobs[JobKey(entry.text_sha256, *rest)].id)
                for entry in accepted
                for rest in questions_by_key
            ]
            added = sum(entry.document.external_id not in in_run for entry in accepted)
            join_run(connection, run_id, pairs, added)
        return Registered(
            documents=added,
            new_jobs=len(requested_jobs) - len(existing),
            known_jobs=len(existing),
            refused=tuple(refused),
            owed_document_ids=_owed(accepted, ids, jobs),
        )

    def mark_enqueued(self, document_ids: Sequence[int]) -> None:
        """A message for each of these documents has been sent."""
        if document_ids:
            with write_transaction(self._engine) as connection:
                connection.execute(_ENQUEUED, {"document_ids": list(document_ids)})


_ENQUEUED = (
    update(DocumentRow).where(is_among(DocumentRow.id, "document_ids")).values(enqueued_epoch=epoch_now())
)


def join_run(connection: Connection, run_id: int, pairs: Sequence[tuple[int, int]], added: int) -> None:
    """The last statements of a registration: the pairs of document and job are the run's, and it has `added`
    documents more."""
    insert_new(connection, RunJobRow, [{"run_id": run_id, "document_id": d, "job_id": j} for d, j in pairs])
    connection.execute(update(RunRow).where(RunRow.id == run_id).values(documents=RunRow.documents + added))


class _InRun(NamedTuple):
    """The text that the run has under an external id."""

    text_sha256: str
    version: str
    document_id: int | None
    """None: it is in this batch."""


def _texts_in_run(connection: Connection, run_id: int, external_ids: Iterable[str]) -> dict[str, _InRun]:
    """The texts that the run has, by external id.

    Two statements: for a single one PostgreSQL scans the whole run in each batch once the run has outgrown
    its statistics (250 documents a second after 60,000 instead of 4,000).
    """
    columns = select(DocumentRow.id, DocumentRow.external_id, DocumentRow.text_sha256, DocumentRow.metadata_)
    rows = connection.execute(columns.where(DocumentRow.external_id.in_(external_ids))).all()
    if not rows:
        return {}
    is_of_run = (RunJobRow.run_id == run_id, RunJobRow.document_id.in_([row.id for row in rows]))
    in_run = set(connection.scalars(select(RunJobRow.document_id).where(*is_of_run)))
    return {
        row.external_id: _InRun(row.text_sha256, str(row.metadata.get("version") or ""), row.id)
        for row in rows
        if row.id in in_run
    }


def _newest_versions(
    documents: Sequence[Document], in_run: Mapping[str, _InRun]
) -> tuple[list[_Accepted], list[Refused], list[int]]:
    """The accepted documents, the refused ones, and the ids of documents that leave the run. Each external id
    keeps its latest version; without versions, the first text in the run."""
    taken = dict(in_run)
    accepted: dict[str, _Accepted] = {}
    refused: list[Refused] = []
    superseded: list[int] = []
    for document in documents:
        id_, sha = document.external_id, document.text_sha256
        earlier = taken.get(id_)
        if earlier is None or earlier.text_sha256 == sha:
            taken.setdefault(id_, _InRun(sha, document.version, None))
            accepted.setdefault(id_, _Accepted(document, sha))
        elif not document.version:
            refused.append(_refused(document, OTHER_TEXT))
        elif document.version < earlier.version:
            refused.append(_refused(document, SUPERSEDED))
        else:
            refused.append(_refused(accepted[id_].document if id_ in accepted else document, SUPERSEDED))
            if earlier.document_id is not None:
                superseded.append(earlier.document_id)
            taken[id_], accepted[id_] = _InRun(sha, document.version, None), _Accepted(document, sha)
    return list(accepted.values()), refused, superseded


def _refused(document: Document, reason: str) -> Refused:
    return Refused(
        source=document.source, line=document.line, external_id=document.external_id, reason=reason
    )


def _keep_documents(connection: Connection, accepted: Sequence[_Accepted]) -> dict[str, int]:
    """Inserts missing texts and documents; returns the document ids by external id."""
    ids = _document_ids(connection, accepted)
    new = [entry for entry in accepted if entry.document.external_id not in ids]
    texts = {sha: document.text for document, sha in new}
    insert_new(connection, TextRow, [{"sha256": sha, "text": text} for sha, text in texts.items()])
    rows = [
        {
            "external_id": document.external_id,
            "text_sha256": sha,
            "source": document.source,
            "metadata": document.metadata,
        }
        for document, sha in new
    ]
    insert_new(connection, DocumentRow, rows)
    return ids | _document_ids(connection, new)


def _document_ids(connection: Connection, accepted: Sequence[_Accepted]) -> dict[str, int]:
    shas = {entry.document.external_id: entry.text_sha256 for entry in accepted}
    columns = select(DocumentRow.id, DocumentRow.external_id, DocumentRow.text_sha256)
    documents = connection.execute(columns.where(DocumentRow.external_id.in_(shas)))
    return {row.external_id: row.id for row in documents if shas[row.external_id] == row.text_sha256}


def _keep_jobs(
    connection: Connection, requested_jobs: Mapping[JobKey, Question], *, is_urgent: bool
) -> tuple[set[JobKey], dict[JobKey, StoredJob]]:
    """Inserts missing jobs; returns the keys of those that existed, and all jobs as stored. Cancelled jobs
    are pending again; with `is_urgent`, unfinished jobs become urgent."""
    jobs = stored_jobs(connection, requested_jobs.keys())
    existing = jobs.keys() & requested_jobs.keys()
    new = [
        _job_row(key, question, is_urgent) for key, question in requested_jobs.items() if key not in existing
    ]
    insert_new(connection, JobRow, new)
    cancelled = [jobs[key].id for key in existing if jobs[key].status == JobStatus.CANCELLED]
    if cancelled:
        revived = {"status": JobStatus.PENDING.value, "finished_at": None, "is_urgent": is_urgent}
        connection.execute(update(JobRow).where(JobRow.id.in_(cancelled)).values(**revived))
    if is_urgent:
        is_unfinished = and_(JobRow.id.in_([jobs[key].id for key in existing]), OWED_OR_RUNNING)
        connection.execute(update(JobRow).where(is_unfinished).values(is_urgent=True))
    return existing, stored_jobs(connection, requested_jobs.keys()) if new or cancelled else jobs


def _job_row(key: JobKey, question: Question, is_urgent: bool) -> dict[str, object]:
    return {**key._asdict(), "parameters": question.parameters, "is_urgent": is_urgent}


def _owed(
    accepted: Sequence[_Accepted], ids: Mapping[str, int], jobs: Mapping[JobKey, StoredJob]
) -> tuple[int, ...]:
    pending = {key.text_sha256 for key, job in jobs.items() if job.status == JobStatus.PENDING}
    first = {entry.text_sha256: ids[entry.document.external_id] for entry in reversed(accepted)}
    return tuple(sorted(id_ for sha, id_ in first.items() if sha in pending))
