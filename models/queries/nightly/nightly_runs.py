"""Nightly runs: the last one, the files it read and unfinished documents, and documents with owed jobs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Engine, exists, func, select
from sqlalchemy.orm import aliased

from models.documents import Document
from models.jobs import JobStatus
from models.schema.database import read_transaction
from models.schema.nightly_tables import NightlyFileRow, NightlyRunRow
from models.schema.tables import DocumentRow, JobRow, RunJobRow, TextRow
from models.store.nightly_runs import FileState

_LEFT = [JobStatus.PENDING.value, JobStatus.RUNNING.value, JobStatus.CANCELLED.value]
_DOCUMENTS_A_FETCH = 200


class NightlyRun(BaseModel):
    """A nightly run of a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: int
    registered_at: datetime
    ended_at: datetime | None
    watermark: dict[str, Any] | None
    report: dict[str, Any] | None


class OwedDocument(NamedTuple):
    """A document with an owed job."""

    document_id: int
    characters: int
    metadata: dict[str, Any]


def last_nightly_run(engine: Engine, plan: str) -> NightlyRun | None:
    """The newest nightly run of the plan, ended or not; None if there is none."""
    statement = (
        select(NightlyRunRow.__table__)
        .where(NightlyRunRow.plan == plan)
        .order_by(NightlyRunRow.run_id.desc())
        .limit(1)
    )
    with read_transaction(engine) as connection:
        row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else NightlyRun(**{name: row[name] for name in NightlyRun.model_fields})


def files_read_before(engine: Engine, plan: str, paths: Sequence[str]) -> dict[str, FileState]:
    """The files that the plan has read before, with their state at that time."""
    statement = select(NightlyFileRow.path, NightlyFileRow.size, NightlyFileRow.changed_ns)
    of_paths = statement.where(NightlyFileRow.plan == plan, NightlyFileRow.path.in_(paths))
    with read_transaction(engine) as connection:
        return {row.path: FileState(row.size, row.changed_ns) for row in connection.execute(of_paths)}


def unfinished_documents(engine: Engine, run_id: int) -> Iterator[Document]:
    """Streams the documents of a run with an unfinished job, except those with a later version. The next
    nightly run registers them under its own questions."""
    later = aliased(DocumentRow)
    is_outdated = exists().where(later.external_id == DocumentRow.external_id, later.id > DocumentRow.id)
    statement = (
        select(DocumentRow.__table__, TextRow.text)
        .join(TextRow, TextRow.sha256 == DocumentRow.text_sha256)
        .where(DocumentRow.id.in_(_owed_ids(run_id, _LEFT)), ~is_outdated)
        .order_by(DocumentRow.id)
    )
    last = 0
    while True:
        # Page by page, not one open statement: registration writes between pages.
        with read_transaction(engine) as connection:
            page = connection.execute(statement.where(DocumentRow.id > last).limit(_DOCUMENTS_A_FETCH)).all()
        if not page:
            return
        for row in page:
            version = str(row.metadata.get("version") or "")
            columns = {"external_id": row.external_id, "source": row.source, "metadata": row.metadata}
            yield Document(text=row.text, version=version, **columns)
        last = page[-1].id


def owed_documents_of_run(engine: Engine, run_id: int, *, with_held: bool = False) -> list[OwedDocument]:
    """The documents of a run with a pending or running job, one for each text, in the order of registration.
    `with_held`: also those with jobs that an earlier nightly run cancelled at its deadline."""
    statuses = _LEFT if with_held else [JobStatus.PENDING.value, JobStatus.RUNNING.value]
    statement = (
        select(DocumentRow.id, DocumentRow.metadata_, DocumentRow.text_sha256, func.length(TextRow.text))
        .join(TextRow, TextRow.sha256 == DocumentRow.text_sha256)
        .where(DocumentRow.id.in_(_owed_ids(run_id, statuses)))
        .order_by(DocumentRow.id)
    )
    by_text: dict[str, OwedDocument] = {}
    with read_transaction(engine) as connection:
        for document_id, metadata, sha, characters in connection.execute(statement):
            by_text.setdefault(sha, OwedDocument(document_id, characters, metadata))
    return list(by_text.values())


def _owed_ids(run_id: int, statuses: list[str]) -> Any:
    return (
        select(RunJobRow.document_id)
        .join(JobRow, JobRow.id == RunJobRow.job_id)
        .where(RunJobRow.run_id == run_id, JobRow.status.in_(statuses))
    )
