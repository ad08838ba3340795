"""What leaves the house: notes with their finished answers, streamed, each note once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Engine, Select, and_, exists, func, or_, select
from sqlalchemy.orm import aliased

from models.jobs import JobStatus
from models.queries import results
from models.schema.database import reading
from models.schema.tables import DocumentRow, JobRow, TextRow

IS_FINISHED = JobRow.status == JobStatus.FINISHED.value
_DOCUMENTS_A_FETCH = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedNote:
    """One note and what was found in it."""

    document_id: int
    external_id: str
    source: str
    text: str
    metadata: dict[str, Any]
    registered_at: str
    """ISO 8601, UTC."""
    answers: tuple[dict[str, Any], ...]
    """Finished jobs, as `models.queries.results` describes them."""

    def items(self, name: Literal["entities", "passages"]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Each entity or passage with the answer that it is part of."""
        for answer in self.answers:
            for item in answer.get(name, ()):
                yield answer, item

    def summaries(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Each summary with the answer that it is."""
        return ((answer, answer["summary"]) for answer in self.answers if "summary" in answer)


def statement(run_id: int | None) -> Select[*tuple[Any, ...]]:
    """The finished jobs of a run; without one, of each note's newest version the newest answers."""
    if run_id is not None:
        return results.of_run(run_id, IS_FINISHED)
    return results.of_all_runs(IS_FINISHED, *_is_newest())


def stream(engine: Engine, run_id: int | None) -> Iterator[ExportedNote]:
    """In the order of the documents; memory holds some hundred notes at a time."""
    options = {"stream_results": True, "yield_per": results.ROWS_A_FETCH}
    with reading(engine) as connection:
        found = connection.execute(statement(run_id), execution_options=options)
        fetched = (one for rows in found.partitions() for one in _with_documents(connection, rows))
        for _, group in groupby(fetched, key=lambda one: one[0].id):
            jobs = list(group)
            yield _note(jobs[0][0], tuple(answer for _, answer in jobs))


def count(engine: Engine, run_id: int | None) -> int:
    """How many notes `stream` gives: a count over the index of documents and jobs."""
    chosen = statement(run_id).order_by(None).with_only_columns(func.count(DocumentRow.id.distinct()))
    with reading(engine) as connection:
        return connection.scalars(chosen).one()


def external_ids(engine: Engine, run_id: int | None) -> Iterator[str]:
    """The ids of the notes that `stream` gives, without reading them."""
    chosen = statement(run_id).order_by(None).with_only_columns(DocumentRow.external_id)
    options = {"stream_results": True, "yield_per": _DOCUMENTS_A_FETCH}
    with reading(engine) as connection:
        yield from connection.execute(chosen, execution_options=options).scalars()


def _is_newest() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """As `is_newest` in the views."""
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
