"""Lists of documents for the browser: filter, lines and pages.

Keyset pagination by document id, newest first: the thousandth page costs as much as the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, select

from models.answers import Assertion, Task
from models.jobs import JobStatus
from models.outcomes import Reason
from models.schema.answer_tables import EntityRow, SummaryRow, SummarySentenceRow
from models.schema.correction_tables import CorrectionRow
from models.schema.job_conditions import IS_FAILED
from models.schema.tables import DocumentRow, JobRow, RunJobRow, TextRow


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DocumentFilter(_Frozen):
    """Conditions on documents; every given condition has to hold."""

    id_contains: str = ""
    run: int | None = None
    mentions: str = ""
    """Characters within a mention; case-insensitive."""
    label: str = ""
    """Together with `assertion`: both hold for one mention."""
    assertion: Assertion | None = None
    status: JobStatus | None = None
    reason: Reason | None = None
    is_flagged: bool = False
    """A sentence of its summary has a flag."""
    is_corrected: bool = False


class DocumentLine(_Frozen):
    """One line of a list of documents."""

    id: int
    external_id: str
    source: str
    registered_at: datetime
    characters: int
    title: str = ""
    """The title of its newest summary."""
    entities: int = 0
    flagged_sentences: int = 0
    corrections: int = 0
    statuses: dict[JobStatus, int] = Field(default_factory=dict)
    is_superseded: bool = False
    """A newer version of the note exists."""


class DocumentPage(_Frozen):
    """One page of a list, newest first."""

    documents: tuple[DocumentLine, ...]
    has_newer: bool
    has_older: bool


def documents_statement(
    document_filter: DocumentFilter, limit: int, *, before: int | None = None, after: int | None = None
) -> Select[int]:
    """The document ids of a page. Walks the documents in their order up to the limit."""
    statement = select(DocumentRow.id).where(*_conditions(document_filter)).limit(limit)
    if after is not None:
        return statement.where(DocumentRow.id > after).order_by(DocumentRow.id)
    if before is not None:
        statement = statement.where(DocumentRow.id < before)
    return statement.order_by(DocumentRow.id.desc())


def _conditions(criteria: DocumentFilter) -> Iterable[ColumnElement[bool]]:
    of_document = JobRow.text_sha256 == DocumentRow.text_sha256
    if criteria.id_contains:
        yield DocumentRow.external_id.icontains(criteria.id_contains, autoescape=True)
    if criteria.run is not None:
        in_run = (RunJobRow.run_id == criteria.run, RunJobRow.document_id == DocumentRow.id)
        yield exists().where(*in_run)
    if criteria.reason is not None:
        # Not EXISTS: SQLite would walk all failures with this reason for each document (55 s with 3,000).
        yield DocumentRow.text_sha256.in_(
            select(JobRow.text_sha256).where(IS_FAILED, JobRow.reason == criteria.reason.value)
        )
    if criteria.status is not None:
        yield exists().where(of_document, JobRow.status == criteria.status.value)
    if criteria.mentions or criteria.label or criteria.assertion is not None:
        mention = [of_document, JobRow.task == Task.ENTITIES.value, EntityRow.job_id == JobRow.id]
        if criteria.mentions:
            mention.append(EntityRow.text.icontains(criteria.mentions, autoescape=True))
        if criteria.label:
            mention.append(EntityRow.label == criteria.label)
        if criteria.assertion is not None:
            mention.append(EntityRow.assertion == criteria.assertion.value)
        yield exists().where(*mention)
    if criteria.is_flagged:
        flagged = (SummarySentenceRow.job_id == JobRow.id, SummarySentenceRow.flags != "")
        yield exists().where(of_document, JobRow.task == Task.SUMMARY.value, *flagged)
    if criteria.is_corrected:
        yield exists().where(CorrectionRow.text_sha256 == DocumentRow.text_sha256)


def document_lines(connection: Connection, ids: Sequence[int]) -> tuple[DocumentLine, ...]:
    """The lines of these documents, in their order; the number of statements is fixed."""
    if not ids:
        return ()
    columns = select(DocumentRow.__table__, func.length(TextRow.text).label("characters"))
    joined = columns.join(TextRow, TextRow.sha256 == DocumentRow.text_sha256).where(DocumentRow.id.in_(ids))
    rows = {row.id: row for row in connection.execute(joined)}
    shas = {row.text_sha256 for row in rows.values()}
    jobs = connection.execute(
        select(JobRow.id, JobRow.text_sha256, JobRow.task, JobRow.status)
        .where(JobRow.text_sha256.in_(shas))
        .order_by(JobRow.id)
    ).all()
    newest = {(job.text_sha256, job.task): job.id for job in jobs if job.status == JobStatus.FINISHED}
    job_ids = set(newest.values())
    entities = _counts(connection, EntityRow.job_id, EntityRow.job_id.in_(job_ids))
    flagged = _counts(
        connection,
        SummarySentenceRow.job_id,
        and_(SummarySentenceRow.job_id.in_(job_ids), SummarySentenceRow.flags != ""),
    )
    corrections = _counts(connection, CorrectionRow.text_sha256, CorrectionRow.text_sha256.in_(shas))
    titled = select(SummaryRow.job_id, SummaryRow.title).where(SummaryRow.job_id.in_(job_ids))
    titles: dict[int | None, str] = {row[0]: row[1] for row in connection.execute(titled)}
    names = {row.external_id for row in rows.values()}
    by_name = select(DocumentRow.external_id, func.max(DocumentRow.id)).group_by(DocumentRow.external_id)
    latest = connection.execute(by_name.where(DocumentRow.external_id.in_(names)))
    latest_of = {row[0]: row[1] for row in latest}
    return tuple(
        DocumentLine(
            id=id_,
            external_id=row.external_id,
            source=row.source,
            registered_at=row.registered_at,
            characters=row.characters,
            title=titles.get(newest.get((row.text_sha256, Task.SUMMARY)), ""),
            entities=entities.get(newest.get((row.text_sha256, Task.ENTITIES)), 0),
            flagged_sentences=flagged.get(newest.get((row.text_sha256, Task.SUMMARY)), 0),
            corrections=corrections.get(row.text_sha256, 0),
            statuses=Counter(JobStatus(job.status) for job in jobs if job.text_sha256 == row.text_sha256),
            is_superseded=latest_of[row.external_id] != id_,
        )
        for id_ in ids
        for row in [rows[id_]]
    )


def _counts(connection: Connection, key: Any, is_counted: ColumnElement[bool]) -> dict[Any, int]:
    counted = select(key, func.count()).where(is_counted).group_by(key)
    return {row[0]: row[1] for row in connection.execute(counted)}
