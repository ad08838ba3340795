"""Reads for somebody who leafs through the store: a page of documents at a time, filtered.

Pages go by the documents' numbers (keyset), newest first: the thousandth costs what the first does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Connection, Engine, Select, and_, exists, func, select
from sqlalchemy.orm import aliased

from models.answer_tables import EntityRow, PassageRow, SummaryRow, SummarySentenceRow
from models.answers import Assertion, Task
from models.correction_tables import CorrectionRow
from models.database import reading
from models.documents import StoredDocument
from models.jobs import JobStatus
from models.outcomes import Reason
from models.tables import IS_FAILED, DocumentRow, JobRow, RecipeRow, RunJobRow, RunRow, TextRow


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Filter(_Frozen):
    """Which documents; every part that is given has to hold."""

    id_contains: str = ""
    run: int | None = None
    mentions: str = ""
    """Characters that stand in a mention; capitals do not count."""
    label: str = ""
    """With `assertion`: of one and the same mention."""
    assertion: Assertion | None = None
    status: JobStatus | None = None
    reason: Reason | None = None
    is_flagged: bool = False
    """A sentence of its summary deserves a second look."""
    is_corrected: bool = False


class Listed(_Frozen):
    """A line of a list of documents."""

    id: int
    external_id: str
    source: str
    registered_at: datetime
    characters: int
    title: str = ""
    """Of its newest summary."""
    entities: int = 0
    flagged_sentences: int = 0
    corrections: int = 0
    statuses: dict[JobStatus, int] = Field(default_factory=dict)
    is_superseded: bool = False
    """A newer version of the note is there."""


class Page(_Frozen):
    """One page of a list, newest first."""

    documents: tuple[Listed, ...]
    has_newer: bool
    has_older: bool


class FailureGroup(_Frozen):
    """Failed jobs of one task for one reason."""

    task: Task
    reason: Reason
    jobs: int
    last_at: datetime


class PassageLine(_Frozen):
    """The best sentence of a document for a query."""

    document_id: int
    external_id: str
    text: str
    start: int
    score: float


class Browsing:
    """Reads from one database; safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        """`engine` comes from `models.database.connect`."""
        self._engine = engine

    def documents(
        self, chosen: Filter, *, limit: int, before: int | None = None, after: int | None = None
    ) -> Page:
        """The newest documents older than number `before`, or the oldest newer than `after`."""
        statement = documents_statement(chosen, limit + 1, before=before, after=after)
        with reading(self._engine) as connection:
            ids = list(connection.scalars(statement))
            has_more, ids = len(ids) > limit, sorted(ids[:limit], reverse=True)
            documents = _listed(connection, ids)
        if after is not None:
            return Page(documents=documents, has_newer=has_more, has_older=True)
        return Page(documents=documents, has_newer=before is not None, has_older=has_more)

    def document(self, document_id: int) -> StoredDocument | None:
        """The document of this number."""
        columns = select(DocumentRow.__table__, TextRow.text)
        joined = columns.join(TextRow, TextRow.sha256 == DocumentRow.text_sha256)
        with reading(self._engine) as connection:
            row = connection.execute(joined.where(DocumentRow.id == document_id)).one_or_none()
        if row is None:
            return None
        return StoredDocument(
            id=row.id, external_id=row.external_id, source=row.source, text=row.text, metadata=row.metadata
        )

    def newer_version(self, document_id: int) -> int | None:
        """The newest document under the same external id, where it is another."""
        same = select(DocumentRow.external_id).where(DocumentRow.id == document_id).scalar_subquery()
        newest = select(func.max(DocumentRow.id)).where(DocumentRow.external_id == same)
        with reading(self._engine) as connection:
            found = connection.scalars(newest).one()
        return found if found != document_id else None

    def failures(self, run_id: int | None = None) -> list[FailureGroup]:
        """Failed jobs by task and reason, the most frequent first."""
        columns = (JobRow.task, JobRow.reason, func.count().label("jobs"), func.max(JobRow.finished_at))
        statement = select(*columns).where(IS_FAILED).group_by(JobRow.task, JobRow.reason)
        if run_id is not None:
            of_run = exists().where(RunJobRow.run_id == run_id, RunJobRow.job_id == JobRow.id)
            statement = statement.where(of_run)
        with reading(self._engine) as connection:
            rows = connection.execute(statement.order_by(func.count().desc(), JobRow.task)).all()
        return [FailureGroup(task=row[0], reason=row[1], jobs=row[2], last_at=row[3]) for row in rows]

    def labels(self) -> list[str]:
        """Every entity label that a recipe asked for; those of the newest recipe first."""
        newest_first = select(RecipeRow.labels).order_by(RecipeRow.created_at.desc())
        with reading(self._engine) as connection:
            recipes = connection.scalars(newest_first.where(RecipeRow.task == Task.ENTITIES.value)).all()
        names = (label["name"] for labels in recipes for label in labels if not label.get("attribute_of"))
        return list(dict.fromkeys(names))

    def searches(self) -> list[str]:
        """Every query that a run asked, those of the newest run first."""
        with reading(self._engine) as connection:
            runs = connection.scalars(select(RunRow.questions).order_by(RunRow.id.desc())).all()
        asked = (one for questions in runs for one in questions if one["task"] == Task.SEARCH)
        return list(dict.fromkeys(str(one["parameters"]["query"]) for one in asked))

    def passages(
        self, parameters_sha256: str, *, limit: int, before: int | None = None
    ) -> tuple[list[PassageLine], bool]:
        """The best passage of each document that answers the query, newest document first; and whether
        there are more."""
        statement = passages_statement(parameters_sha256, limit + 1, before=before)
        with reading(self._engine) as connection:
            rows = connection.execute(statement).all()
        lines = [PassageLine(**row._mapping) for row in rows[:limit]]
        return lines, len(rows) > limit


def documents_statement(
    chosen: Filter, limit: int, *, before: int | None = None, after: int | None = None
) -> Select[int]:
    """The numbers of a page. Walks the documents in their order and stops at the limit."""
    statement = select(DocumentRow.id).where(*_conditions(chosen)).limit(limit)
    if after is not None:
        return statement.where(DocumentRow.id > after).order_by(DocumentRow.id)
    if before is not None:
        statement = statement.where(DocumentRow.id < before)
    return statement.order_by(DocumentRow.id.desc())


def passages_statement(
    parameters_sha256: str, limit: int, *, before: int | None = None
) -> Select[*tuple[Any, ...]]:
    """See Browsing.passages. Of answers to the same query under several recipes the one finished last."""
    newer = aliased(JobRow)
    is_older = exists().where(
        newer.text_sha256 == JobRow.text_sha256,
        newer.task == Task.SEARCH.value,
        newer.parameters_sha256 == parameters_sha256,
        newer.status == JobStatus.FINISHED.value,
        newer.id > JobRow.id,
    )
    columns = (PassageRow.text, PassageRow.span_start.label("start"), PassageRow.score)
    statement = (
        select(DocumentRow.id.label("document_id"), DocumentRow.external_id, *columns)
        .join(JobRow, JobRow.text_sha256 == DocumentRow.text_sha256)
        .join(PassageRow, and_(PassageRow.job_id == JobRow.id, PassageRow.position == 0))
        .where(
            JobRow.task == Task.SEARCH.value,
            JobRow.parameters_sha256 == parameters_sha256,
            JobRow.status == JobStatus.FINISHED.value,
            ~is_older,
        )
        .order_by(DocumentRow.id.desc())
        .limit(limit)
    )
    return statement if before is None else statement.where(DocumentRow.id < before)


def _conditions(chosen: Filter) -> Iterable[ColumnElement[bool]]:
    of_document = JobRow.text_sha256 == DocumentRow.text_sha256
    if chosen.id_contains:
        yield DocumentRow.external_id.icontains(chosen.id_contains, autoescape=True)
    if chosen.run is not None:
        in_run = (RunJobRow.run_id == chosen.run, RunJobRow.document_id == DocumentRow.id)
        yield exists().where(*in_run)
    if chosen.status is not None or chosen.reason is not None:
        stands = [of_document]
        if chosen.status is not None:
            stands.append(JobRow.status == chosen.status.value)
        if chosen.reason is not None:
            stands.append(JobRow.reason == chosen.reason.value)
        yield exists().where(*stands)
    if chosen.mentions or chosen.label or chosen.assertion is not None:
        mention = [of_document, EntityRow.job_id == JobRow.id]
        if chosen.mentions:
            mention.append(EntityRow.text.icontains(chosen.mentions, autoescape=True))
        if chosen.label:
            mention.append(EntityRow.label == chosen.label)
        if chosen.assertion is not None:
            mention.append(EntityRow.assertion == chosen.assertion.value)
        yield exists().where(*mention)
    if chosen.is_flagged:
        flagged = (SummarySentenceRow.job_id == JobRow.id, SummarySentenceRow.flags != "")
        yield exists().where(of_document, *flagged)
    if chosen.is_corrected:
        yield exists().where(CorrectionRow.text_sha256 == DocumentRow.text_sha256)


def _listed(connection: Connection, ids: Sequence[int]) -> tuple[Listed, ...]:
    """The lines of these documents, in their order; a handful of statements whatever their number."""
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
    found = set(newest.values())
    entities = _counts(connection, EntityRow.job_id, EntityRow.job_id.in_(found))
    flagged = _counts(
        connection,
        SummarySentenceRow.job_id,
        and_(SummarySentenceRow.job_id.in_(found), SummarySentenceRow.flags != ""),
    )
    corrections = _counts(connection, CorrectionRow.text_sha256, CorrectionRow.text_sha256.in_(shas))
    titled = select(SummaryRow.job_id, SummaryRow.title).where(SummaryRow.job_id.in_(found))
    titles: dict[int | None, str] = {row[0]: row[1] for row in connection.execute(titled)}
    names = {row.external_id for row in rows.values()}
    latest = select(DocumentRow.external_id, func.max(DocumentRow.id)).where(DocumentRow.external_id.in_(names))
    latest_of = {row[0]: row[1] for row in connection.execute(latest.group_by(DocumentRow.external_id))}
    return tuple(
        Listed(
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


def _counts(connection: Connection, key: Any, chosen: ColumnElement[bool]) -> dict[Any, int]:
    counted = select(key, func.count()).where(chosen).group_by(key)
    return {row[0]: row[1] for row in connection.execute(counted)}
