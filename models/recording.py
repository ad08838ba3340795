"""Answers and failures into rows. Functions on an open transaction; `models.store` opens it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.orm import DeclarativeBase

from models.answer_tables import (
    EntityAttributeRow,
    EntityRow,
    PassageRow,
    SummaryRow,
    SummarySentenceRow,
    SummarySourceRow,
)
from models.answers import Answer, EntitiesAnswer, SearchAnswer, Summary, SummaryAnswer
from models.claiming import is_held
from models.clock import utc_now
from models.jobs import Job, JobStatus
from models.outcomes import Failed, Finished
from models.tables import AttemptEnd, AttemptRow, JobRow, TextRow

Rows = list[dict[str, Any]]


def text_of(connection: Connection, job_id: int) -> str | None:
    """The text a job is about; none where both have been deleted since."""
    statement = select(TextRow.text).join(JobRow, JobRow.text_sha256 == TextRow.sha256)
    return connection.scalars(statement.where(JobRow.id == job_id)).one_or_none()


def record(connection: Connection, job: Job, outcome: Finished | Failed) -> bool:
    """See Store.record."""
    ended = update(JobRow).where(is_held(job)).values(**_end_of_job(outcome))
    if connection.execute(ended).rowcount == 0:
        return False
    end = AttemptEnd.FINISHED if isinstance(outcome, Finished) else AttemptEnd.FAILED
    this_claim = (AttemptRow.job_id == job.id, AttemptRow.attempt == job.attempt)
    connection.execute(update(AttemptRow).where(*this_claim).values(ended_at=utc_now(), ended_as=end.value))
    if isinstance(outcome, Finished):
        for table, rows in _rows(job.id, outcome.answer):
            if rows:
                connection.execute(insert(table), rows)
    return True


def _end_of_job(outcome: Finished | Failed) -> dict[str, Any]:
    ended = {
        "worker": None,
        "lease_until_epoch": None,
        "finished_at": utc_now(),
        "duration_seconds": outcome.duration_seconds,
    }
    if isinstance(outcome, Failed):
        failed = {"reason": outcome.reason.value, "detail": outcome.detail}
        return {**ended, **failed, "status": JobStatus.FAILED.value}
    return {
        **ended,
        "status": JobStatus.FINISHED.value,
        "prompt_tokens": outcome.prompt_tokens,
        "completion_tokens": outcome.completion_tokens,
        "ranges_read": [[span.start, span.end] for span in outcome.ranges_read],
    }


def _rows(job_id: int, answer: Answer) -> Sequence[tuple[type[DeclarativeBase], Rows]]:
    match answer:
        case EntitiesAnswer():
            return _entity_rows(job_id, answer)
        case SearchAnswer():
            return _passage_rows(job_id, answer)
        case SummaryAnswer():
            return _summary_rows(job_id, answer.summary)


def _entity_rows(job_id: int, answer: EntitiesAnswer) -> Sequence[tuple[type[DeclarativeBase], Rows]]:
    entities = [
        {
            "job_id": job_id,
            "position": position,
            "span_start": entity.start,
            "span_end": entity.end,
            "text": entity.text,
            "label": entity.label,
            "assertion": entity.assertion.value,
            "probability": entity.probability,
        }
        for position, entity in enumerate(answer.entities)
    ]
    attributes = [
        {
            "job_id": job_id,
            "entity_position": entity_position,
            "position": position,
            "span_start": attribute.start,
            "span_end": attribute.end,
            "text": attribute.text,
            "kind": attribute.kind,
        }
        for entity_position, entity in enumerate(answer.entities)
        for position, attribute in enumerate(entity.attributes)
    ]
    return (EntityRow, entities), (EntityAttributeRow, attributes)


def _passage_rows(job_id: int, answer: SearchAnswer) -> Sequence[tuple[type[DeclarativeBase], Rows]]:
    passages = [
        {
            "job_id": job_id,
            "position": position,
            "span_start": passage.start,
            "span_end": passage.end,
            "text": passage.text,
            "score": passage.score,
        }
        for position, passage in enumerate(answer.passages)
    ]
    return ((PassageRow, passages),)


def _summary_rows(job_id: int, summary: Summary) -> Sequence[tuple[type[DeclarativeBase], Rows]]:
    sections = [section.model_dump() for section in summary.sections]
    row = {"job_id": job_id, "title": summary.title, "text": summary.text, "sections": sections}
    sentences = [
        {
            "job_id": job_id,
            "position": position,
            "section": sentence.section,
            "text": sentence.text,
            "flags": ",".join(flag.value for flag in sentence.flags),
        }
        for position, sentence in enumerate(summary.sentences)
    ]
    sources = [
        {
            "job_id": job_id,
            "sentence_position": sentence_position,
            "position": position,
            "span_start": span.start,
            "span_end": span.end,
        }
        for sentence_position, sentence in enumerate(summary.sentences)
        for position, span in enumerate(sentence.sources)
    ]
    return (SummaryRow, [row]), (SummarySentenceRow, sentences), (SummarySourceRow, sources)
