"""Export of notes with their finished answers, streamed, each note once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Engine, Select, and_, exists, func, or_, select
from sqlalchemy.orm import aliased

from models.jobs import JobStatus
from models.queries import results
from models.queries.runs import require_run
from models.schema.database import read_transaction
from models.schema.tables import DocumentRow, JobRow, TextRow

IS_FINISHED = JobRow.status == JobStatus.FINISHED.value
_DOCUMENTS_A_FETCH = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedNote:
    """One note and its finished answers."""

    document_id: int
    external_id: str
    source: str
    text: str
    metadata: dict[str, Any]
    registered_at: str
    """ISO 8601, UTC."""
    answers: tuple[dict[str, Any], ...]
    """Finished jobs, in the form of `models.queries.results`."""

    def items(self, name: Literal["entities", "passages"]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Pairs of an answer and one of its entities or passages."""
        for answer in self.answers:
            for item in answer.get(name, ()):
                yield answer, item

    def summaries(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Pairs of an answer and its summary."""
        return ((answer, answer["summary"]) for answer in self.answers if "summary" in answer)


class ExportQueries:
    """Streams notes with their answers; part of `Queries`."""

    _engine: Engine

    def exported(self, run_id: int | None = None) -> Iterator[ExportedNote]:
        """Notes with their finished answers, streamed in the order of the documents: those of a run, or each
        note's newest. Memory holds some hundred notes. Raises UsageError where there is no such run."""
        if run_id is not None:
            require_run(self._engine, run_id)
        return _stream(self._engine, run_id)

    def exported_count(self, run_id: int | None = None) -> int:
        """The number of notes that `exported` yields: a count over the index of documents and jobs."""
        counted = func.count(DocumentRow.id.distinct())
        with read_transaction(self._engine) as connection:
            return connection.scalars(statement(run_id).order_by(None).with_only_columns(counted)).one()

    def exported_ids(self, run_id: int | None = None) -> Iterator[str]:
        """The external ids of the notes that `exported` yields, without reading the notes."""
        ids = statement(run_id).order_by(None).with_only_columns(DocumentRow.external_id)
        options = {"stream_results": True, "yield_per": _DOCUMENTS_A_FETCH}
        with read_transaction(self._engine) as connection:
            yield from connection.execute(ids, execution_options=options).scalars()


def statement(run_id: int | None) -> Select[*tuple[Any, ...]]:
    """The finished jobs of a run; without a run, the newest answers to the newest version of each note."""
    if run_id is not None:
        return results.of_run(run_id, IS_FINISHED)
    return results.of_all_runs(IS_FINISHED, *_is_newest())


def _stream(engine: Engine, run_id: int | None) -> Iterator[ExportedNote]:
    options = {"stream_results": True, "yield_per": results.ROWS_A_FETCH}
    with read_transaction(engine) as connection:
        finished = connection.execute(statement(run_id), execution_options=options)
        pairs = (pair for rows in finished.partitions() for pair in _with_documents(connection, rows))
        for _, group in groupby(pairs, key=lambda pair: pair[0].id):
            jobs = list(group)
            yield _note(jobs[0][0], tuple(answer for _, answer in jobs))


def _is_newest() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """The condition `is_newest` of the views."""
    version, answer = aliased(DocumentRow), aliased(JobRow)
    has_later_version = exists().where(
        version.external_id == DocumentRow.external_id, version.id > DocumentRow.id
    )
    is_later = or_(
        answer.finished_at > JobRow.finished_at,
        and_(answer.finished_at == JobRow.finished_at, answer.id > JobRow.id),
    )
    has_later_answer = exists().where(
        answer.text_sha256 == JobRow.text_sha256,
        answer.task == JobRow.task,
        answer.parameters_sha256 == JobRow.parameters_sha256,
        answer.status == JobStatus.FINISHED.value,
        is_later,
    )
    return ~has_later_version, ~has_later_answer


def _with_documents(connection: Connection, rows: Sequence[Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    documents = (
        select(DocumentRow.__table__, TextRow.text)
        .join(TextRow, TextRow.sha256 == DocumentRow.text_sha256)
        .where(DocumentRow.id.in_({row.document_id for row in rows}))
    )
    by_id = {row.id: row for row in connection.execute(documents)}
    for row, result in zip(rows, results.of_rows(connection, rows), strict=True):
        yield by_id[row.document_id], result


def _note(row: Any, answers: tuple[dict[str, Any], ...]) -> ExportedNote:
    return ExportedNote(
        document_id=row.id,
        external_id=row.external_id,
        source=row.source,
        text=row.text,
        metadata=row.metadata,
        registered_at=row.registered_at.isoformat(),
        answers=answers,
    )
