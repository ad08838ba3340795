"""Answers: outcomes of jobs become rows, all outcomes of a call in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, select
from sqlalchemy.orm import DeclarativeBase

from models.answers import Answer, EntitiesAnswer, SearchAnswer, Summary, SummaryAnswer
from models.jobs import AttemptEnd, Job, JobStatus
from models.outcomes import Failed, Finished, Outcome
from models.schema.answer_tables import (
    EntityAttributeRow,
    EntityRow,
    PassageRow,
    SummaryRow,
    SummarySentenceRow,
    SummarySourceRow,
)
from models.schema.bulk_statements import insert_rows, is_among, update_rows
from models.schema.database import read_transaction, write_transaction
from models.schema.database_clock import utc_now
from models.schema.tables import AttemptRow, JobRow, TextRow
from models.store.answer_validation import InvalidAnswerError, validate_answer
from models.store.leases import forgive_expired_leases, held_claims

Rows = list[dict[str, Any]]
Ended = tuple[Job, Outcome]


class AnswerWrites:
    """Stores answers and failures; part of `Store`."""

    _engine: Engine

    def record(self, ended: Sequence[Ended]) -> list[bool | InvalidAnswerError]:
        """Stores how each job ended, with its answer. False, and nothing stored, where a later claim owns the
        job or it was deleted; an error where the answer is not valid for the note. Neither affects the
        other jobs."""
        # Read before the write lock is taken: the check of a long note would hold up every writer.
        with read_transaction(self._engine) as connection:
            texts = _texts_of(connection, [job.id for job, _ in ended])
        errors = [_validation_error(job, outcome, texts) for job, outcome in ended]
        valid = [job_outcome for job_outcome, error in zip(ended, errors, strict=True) if error is None]
        with write_transaction(self._engine) as connection:
            is_recorded = iter(record_outcomes(connection, valid))
        return [next(is_recorded) if error is None else error for error in errors]


def _texts_of(connection: Connection, job_ids: Collection[int]) -> dict[int, str]:
    """The text of each job; jobs that were deleted are left out."""
    rows = connection.execute(_TEXTS, {"job_ids": list(job_ids)})
    return {row.id: row.text for row in rows}


_TEXTS = (
    select(JobRow.id, TextRow.text)
    .join(TextRow, JobRow.text_sha256 == TextRow.sha256)
    .where(is_among(JobRow.id, "job_ids"))
)


def _validation_error(job: Job, outcome: Outcome, texts: Mapping[int, str]) -> InvalidAnswerError | None:
    if isinstance(outcome, Finished) and job.id in texts:
        try:
            validate_answer(job, outcome, texts[job.id])
        except InvalidAnswerError as error:
            return error
    return None


def record_outcomes(connection: Connection, ended: Sequence[Ended]) -> list[bool]:
    """Stores outcomes; returns for each job whether it was recorded, that is, whether its claim is still the
    last one. The number of statements does not depend on the number of jobs."""
    held = held_claims(connection, [job for job, _ in ended])
    is_recorded = [_take_claim(held, (job.id, job.attempt)) for job, _ in ended]
    recorded = [job_outcome for job_outcome, is_held in zip(ended, is_recorded, strict=True) if is_held]
    forgive_expired_leases(
        connection, [job for (job, _), is_it in zip(ended, is_recorded, strict=True) if not is_it]
    )
    for kind in (Finished, Failed):
        of_kind = [(job, outcome) for job, outcome in recorded if isinstance(outcome, kind)]
        jobs = [_end_of_job(job, outcome) for job, outcome in of_kind]
        update_rows(connection, JobRow, jobs, ("id",), _JOB_ENDS)
        claims = [_end_of_claim(job, outcome) for job, outcome in of_kind]
        update_rows(connection, AttemptRow, claims, ("job_id", "attempt"), _CLAIM_ENDS)
    for table, rows in _rows_of(recorded).items():
        insert_rows(connection, table, rows)
    return is_recorded


_JOB_ENDS = (("worker", None), ("lease_until_epoch", None), ("finished_at", utc_now()))
_CLAIM_ENDS = (("ended_at", utc_now()),)


def _take_claim(held: set[tuple[int, int]], claim: tuple[int, int]) -> bool:
    """True if the claim is held. Removes it from `held`, so that a job that occurs twice is recorded once."""
    is_held = claim in held
    held.discard(claim)
    return is_held


def _end_of_job(job: Job, outcome: Outcome) -> dict[str, Any]:
    ended = {"id": job.id, "duration_seconds": outcome.duration_seconds}
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


def _end_of_claim(job: Job, outcome: Outcome) -> dict[str, Any]:
    end = AttemptEnd.FINISHED if isinstance(outcome, Finished) else AttemptEnd.FAILED
    return {"job_id": job.id, "attempt": job.attempt, "ended_as": end.value}


def _rows_of(recorded: Sequence[Ended]) -> dict[type[DeclarativeBase], Rows]:
    """The rows of each table, in an order in which no row comes before the row that it refers to."""
    by_table: dict[type[DeclarativeBase], Rows] = {}
    for job, outcome in recorded:
        for table, rows in _rows(job.id, outcome.answer) if isinstance(outcome, Finished) else ():
            if rows:
                by_table.setdefault(table, []).extend(rows)
    return by_table


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
