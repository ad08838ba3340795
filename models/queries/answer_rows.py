"""Reads stored answers, many jobs at a time, as the JSON objects that `results` prints."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select
from sqlalchemy.orm import DeclarativeBase

from models.answers import Task
from models.schema.answer_tables import (
    EntityAttributeRow,
    EntityRow,
    PassageRow,
    SummaryRow,
    SummarySentenceRow,
    SummarySourceRow,
)

AnyRow = Row[*tuple[Any, ...]]
Key = tuple[int, ...]
"""A job's id, then the positions that identify the row."""


def answers(connection: Connection, finished: Collection[tuple[int, str]]) -> dict[int, dict[str, Any]]:
    """Answers of finished jobs, given as pairs of id and task: {'entities': […]}, {'passages': […]} or
    {'summary': {…}} by job id. One statement for each table, however many jobs."""
    ids: dict[str, list[int]] = defaultdict(list)
    for job_id, task in finished:
        ids[task].append(job_id)
    by_job: dict[int, dict[str, Any]] = {}
    if ids[Task.ENTITIES]:
        by_job |= _entities(connection, ids[Task.ENTITIES])
    if ids[Task.SEARCH]:
        by_job |= _passages(connection, ids[Task.SEARCH])
    if ids[Task.SUMMARY]:
        by_job |= _summaries(connection, ids[Task.SUMMARY])
    return by_job


def _entities(connection: Connection, job_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    attributes: dict[Key, list[dict[str, Any]]] = defaultdict(list)
    for row in _rows(connection, EntityAttributeRow, job_ids):
        attributes[row.job_id, row.entity_position].append({**_span(row), "text": row.text, "kind": row.kind})
    by_job: dict[int, dict[str, Any]] = {job_id: {"entities": []} for job_id in job_ids}
    for row in _rows(connection, EntityRow, job_ids):
        by_job[row.job_id]["entities"].append(
            {
                **_span(row),
                "text": row.text,
                "label": row.label,
                "assertion": row.assertion,
                "probability": row.probability,
                "attributes": attributes[row.job_id, row.position],
            }
        )
    return by_job


def _passages(connection: Connection, job_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    by_job: dict[int, dict[str, Any]] = {job_id: {"passages": []} for job_id in job_ids}
    for row in _rows(connection, PassageRow, job_ids):
        by_job[row.job_id]["passages"].append({**_span(row), "text": row.text, "score": row.score})
    return by_job


def _summaries(connection: Connection, job_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    sources: dict[Key, list[dict[str, int]]] = defaultdict(list)
    for row in _rows(connection, SummarySourceRow, job_ids):
        sources[row.job_id, row.sentence_position].append(_span(row))
    sentences: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in _rows(connection, SummarySentenceRow, job_ids):
        sentences[row.job_id].append(
            {
                "section": row.section,
                "text": row.text,
                "sources": sources[row.job_id, row.position],
                "flags": row.flags.split(",") if row.flags else [],
            }
        )
    return {
        row.job_id: {
            "summary": {
                "title": row.title,
                "text": row.text,
                "sections": row.sections,
                "sentences": sentences[row.job_id],
            }
        }
        for row in _rows(connection, SummaryRow, job_ids)
    }


def _rows(connection: Connection, table: type[DeclarativeBase], job_ids: Sequence[int]) -> Sequence[AnyRow]:
    """The rows of these jobs in the order of their key."""
    columns = table.__table__.columns
    key = table.__table__.primary_key
    return connection.execute(select(*columns).where(columns["job_id"].in_(job_ids)).order_by(*key)).all()


def _span(row: AnyRow) -> dict[str, int]:
    return {"start": row.span_start, "end": row.span_end}
