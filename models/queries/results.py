"""Results: one dictionary for each job of a document, streamed, as `notemill results` prints them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, and_, exists, select
from sqlalchemy.orm import aliased

from models.answers import Task
from models.jobs import JobStatus
from models.queries.answer_rows import AnyRow, answers
from models.queries.runs import require_run
from models.schema.database import read_transaction
from models.schema.tables import DocumentRow, JobRow, RunJobRow

ROWS_A_FETCH = 500
"""Jobs whose answers are fetched together; a stream holds so many in memory."""
_PAIRS = select(RunJobRow.document_id, RunJobRow.job_id, RunJobRow.run_id)


class ResultQueries:
    """Reads the results of jobs; part of `Queries`."""

    _engine: Engine

    def results(
        self, *, run_id: int | None = None, task: Task | None = None, status: JobStatus | None = None
    ) -> Iterator[dict[str, Any]]:
        """One JSON object for each job of a document, streamed in the order of the documents.

        Without a run, each job of a document occurs once, under the last run that asked for it.
        Raises UsageError if there is no such run.
        """
        conditions: list[ColumnElement[bool]] = []
        if task is not None:
            conditions.append(JobRow.task == Task(task).value)
        if status is not None:
            conditions.append(JobRow.status == JobStatus(status).value)
        if run_id is None:
            return stream(self._engine, of_all_runs(*conditions))
        require_run(self._engine, run_id)
        return stream(self._engine, of_run(run_id, *conditions))

    def answers_of(self, document_id: int, run_id: int | None = None) -> list[dict[str, Any]]:
        """The results of one document, newest job first: jobs of later recipes come first."""
        return list(stream(self._engine, of_document(document_id, run_id)))


def stream(engine: Engine, statement: Select[*tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """The results that a statement of this module selects, in its order. Memory is constant: a server-side
    cursor on PostgreSQL, a stepped statement on SQLite."""
    options = {"stream_results": True, "yield_per": ROWS_A_FETCH}
    with read_transaction(engine) as connection:
        for rows in connection.execute(statement, execution_options=options).partitions():
            yield from of_rows(connection, rows)


def of_run(run_id: int, *conditions: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """The statement for every job of the run, by document; two documents may share a job."""
    return _select(_PAIRS.where(RunJobRow.run_id == run_id), *conditions)


def of_all_runs(*conditions: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """The statement for every job of every document, once, under the last run that asked for it."""
    return _select(_last_runs(), *conditions)


def of_document(document_id: int, run_id: int | None) -> Select[*tuple[Any, ...]]:
    """The statement for every job of one document, the newest first."""
    if run_id is not None:
        statement = of_run(run_id, DocumentRow.id == document_id)
    else:
        statement = _select(_last_runs().where(RunJobRow.document_id == document_id))
    return statement.order_by(None).order_by(JobRow.id.desc())


def newest_answers(answers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One answer to each question: the first finished one, else the first. `answers`: newest job first."""
    by_question: dict[str, dict[str, Any]] = {}
    for answer in answers:
        key = f"{answer['task']} {sorted(answer['parameters'].items())}"
        if key not in by_question or (
            by_question[key]["status"] != "finished" and answer["status"] == "finished"
        ):
            by_question[key] = answer
    return list(by_question.values())


def _last_runs() -> Select[*tuple[Any, ...]]:
    # Not GROUP BY with max(): SQLite would materialize and sort all groups before the first result.
    later = aliased(RunJobRow)
    is_later = and_(
        later.document_id == RunJobRow.document_id,
        later.job_id == RunJobRow.job_id,
        later.run_id > RunJobRow.run_id,
    )
    return _PAIRS.where(~exists().where(is_later))


def _select(pairs: Select[*tuple[Any, ...]], *conditions: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    requested = pairs.subquery("asked")
    return (
        select(
            requested.c.run_id, DocumentRow.id.label("document_id"), DocumentRow.external_id, JobRow.__table__
        )
        .join_from(requested, DocumentRow, DocumentRow.id == requested.c.document_id)
        .join(JobRow, JobRow.id == requested.c.job_id)
        .where(*conditions)
        .order_by(requested.c.document_id, requested.c.job_id)
    )


def of_rows(connection: Connection, rows: Sequence[AnyRow]) -> Iterator[dict[str, Any]]:
    """A result for each of these rows, in their order."""
    finished = {(row.id, row.task) for row in rows if row.status == JobStatus.FINISHED}
    by_job = answers(connection, finished)
    for row in rows:
        yield {**_job(row), **by_job.get(row.id, {})}


def _job(row: AnyRow) -> dict[str, Any]:
    return {
        "external_id": row.external_id,
        "document_id": row.document_id,
        "run": row.run_id,
        "task": row.task,
        "parameters": row.parameters,
        "status": row.status,
        "reason": row.reason,
        "detail": row.detail,
        "recipe": row.recipe_id,
        "created_at": row.created_at.isoformat(),
        "finished_at": row.finished_at.isoformat() if row.finished_at else None,
        "duration_seconds": row.duration_seconds,
        "ranges_read": [{"start": start, "end": end} for start, end in row.ranges_read],
    }
