"""Reads for the browser application: documents, passages and failures, a page at a time."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, Engine, Select, and_, exists, func, select
from sqlalchemy.orm import aliased

from models.answers import Task
from models.documents import StoredDocument
from models.jobs import JobStatus
from models.outcomes import Reason
from models.queries.answer_counts import AnswerCounts, count_answers
from models.queries.browser.document_list import (
    DocumentFilter,
    DocumentPage,
    document_lines,
    documents_statement,
)
from models.queries.documents import document_by_id
from models.schema.answer_tables import PassageRow
from models.schema.database import read_transaction
from models.schema.job_conditions import IS_FAILED
from models.schema.tables import DocumentRow, JobRow, RecipeRow, RunJobRow, RunRow


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FailureGroup(_Frozen):
    """Failed jobs of one task with one reason."""

    task: Task
    reason: Reason
    jobs: int
    last_at: datetime


class PassageLine(_Frozen):
    """The best passage of a document for a query."""

    document_id: int
    external_id: str
    text: str
    start: int
    score: float


class BrowserQueries:
    """Reads from one database; safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        """`engine` comes from `models.schema.database.connect`."""
        self._engine = engine

    def documents(
        self,
        document_filter: DocumentFilter,
        *,
        limit: int,
        before: int | None = None,
        after: int | None = None,
    ) -> DocumentPage:
        """A page of documents, newest first: those below the id `before`, or the next ones above `after`."""
        statement = documents_statement(document_filter, limit + 1, before=before, after=after)
        with read_transaction(self._engine) as connection:
            ids = list(connection.scalars(statement))
            has_more, ids = len(ids) > limit, sorted(ids[:limit], reverse=True)
            documents = document_lines(connection, ids)
        if after is not None:
            return DocumentPage(documents=documents, has_newer=has_more, has_older=True)
        return DocumentPage(documents=documents, has_newer=before is not None, has_older=has_more)

    def document(self, document_id: int) -> StoredDocument | None:
        """The document with this id."""
        return document_by_id(self._engine, document_id)

    def newer_version(self, document_id: int) -> int | None:
        """The newest document with the same external id, if it is another one."""
        same_external_id = (
            select(DocumentRow.external_id).where(DocumentRow.id == document_id).scalar_subquery()
        )
        newest = select(func.max(DocumentRow.id)).where(DocumentRow.external_id == same_external_id)
        with read_transaction(self._engine) as connection:
            newest_id = connection.scalars(newest).one()
        return newest_id if newest_id != document_id else None

    def failures(self, run_id: int | None = None) -> list[FailureGroup]:
        """Failed jobs by task and reason, the most frequent first."""
        columns = (JobRow.task, JobRow.reason, func.count().label("jobs"), func.max(JobRow.finished_at))
        statement = select(*columns).where(IS_FAILED).group_by(JobRow.task, JobRow.reason)
        if run_id is not None:
            of_run = exists().where(RunJobRow.run_id == run_id, RunJobRow.job_id == JobRow.id)
            statement = statement.where(of_run)
        with read_transaction(self._engine) as connection:
            rows = connection.execute(statement.order_by(func.count().desc(), JobRow.task)).all()
        return [FailureGroup(task=row[0], reason=row[1], jobs=row[2], last_at=row[3]) for row in rows]

    def count_answers(self, run_id: int) -> AnswerCounts:
        """Counts of the run's answers."""
        return count_answers(self._engine, run_id)

    def labels(self) -> list[str]:
        """Every entity label in a recipe; those of the newest recipe first."""
        newest_first = select(RecipeRow.labels).order_by(RecipeRow.created_at.desc())
        with read_transaction(self._engine) as connection:
            recipes = connection.scalars(newest_first.where(RecipeRow.task == Task.ENTITIES.value)).all()
        names = (label["name"] for labels in recipes for label in labels if not label.get("attribute_of"))
        return list(dict.fromkeys(names))

    def run_numbers(self, limit: int) -> list[int]:
        """The ids of the last runs, newest first."""
        with read_transaction(self._engine) as connection:
            return list(connection.scalars(select(RunRow.id).order_by(RunRow.id.desc()).limit(limit)))

    def searches(self) -> list[str]:
        """Every search query of a run; those of the newest run first."""
        with read_transaction(self._engine) as connection:
            runs = connection.scalars(select(RunRow.questions).order_by(RunRow.id.desc())).all()
        searches = (
            question for questions in runs for question in questions if question["task"] == Task.SEARCH
        )
        return list(dict.fromkeys(str(search["parameters"]["query"]) for search in searches))

    def passages(
        self, parameters_sha256: str, *, limit: int, before: int | None = None
    ) -> tuple[list[PassageLine], bool]:
        """The best passage of each document that answers the query, newest document first; and whether
        there are more."""
        columns = (PassageRow.text, PassageRow.span_start.label("start"), PassageRow.score)
        best = and_(PassageRow.job_id == JobRow.id, PassageRow.position == 0)
        passages = (
            select(DocumentRow.id.label("document_id"), DocumentRow.external_id, *columns)
            .join_from(DocumentRow, JobRow, _is_answer_to(parameters_sha256))
            .join(PassageRow, best)
            .order_by(DocumentRow.id.desc())
        )
        with read_transaction(self._engine) as connection:
            ids = connection.scalars(answered_statement(parameters_sha256, limit + 1, before=before)).all()
            rows = connection.execute(passages.where(DocumentRow.id.in_(ids[:limit]))).all()
        return [PassageLine(**row._mapping) for row in rows], len(ids) > limit


def answered_statement(parameters_sha256: str, limit: int, *, before: int | None = None) -> Select[int]:
    """The ids of documents with a passage for the query, newest first.

    EXISTS, so that the database walks the documents in their order: for a join SQLite sorts all jobs.
    """
    is_answer = _is_answer_to(parameters_sha256)
    has_passage = exists().where(is_answer, PassageRow.job_id == JobRow.id, PassageRow.position == 0)
    statement = select(DocumentRow.id).where(has_passage).order_by(DocumentRow.id.desc()).limit(limit)
    return statement if before is None else statement.where(DocumentRow.id < before)


def _is_answer_to(parameters_sha256: str) -> ColumnElement[bool]:
    """Condition on jobs: the newest answer to the query, of whatever recipe, on the document's text."""
    newer = aliased(JobRow)
    of_newer = (
        newer.text_sha256 == JobRow.text_sha256,
        newer.task == Task.SEARCH.value,
        newer.parameters_sha256 == parameters_sha256,
        newer.status == JobStatus.FINISHED.value,
        newer.id > JobRow.id,
    )
    return and_(
        JobRow.text_sha256 == DocumentRow.text_sha256,
        JobRow.task == Task.SEARCH.value,
        JobRow.parameters_sha256 == parameters_sha256,
        JobRow.status == JobStatus.FINISHED.value,
        ~exists().where(*of_newer),
    )
