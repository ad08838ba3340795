"""How fast this installation has been, from what stored runs spent; behind a night's forecast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, func, select

from models.jobs import JobStatus, Question
from models.schema.database import read_transaction
from models.schema.tables import JobRow, RunJobRow, RunRow, TextRow

_RUNS = 5
_LOOKED_AT = 50
"""Runs that are looked through for such with the same tasks."""
_FEW_CHARACTERS = 2_000
"""A run of less tells how long a worker takes to start."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Measured over some runs with the same tasks."""

    run_ids: tuple[int, ...]
    documents: int
    """Distinct texts that were worked on in them."""
    characters: int
    seconds: float
    """By the clock, from the first job taken to the last one ended."""
    tokens: int
    """Read and written by the network, shared prefixes counted as often as they were asked."""

    @property
    def characters_a_second(self) -> float:
        return self.characters / self.seconds

    @property
    def tokens_a_character(self) -> float:
        return self.tokens / self.characters


def measured_rates(
    engine: Engine, questions: Sequence[Question], *, before: int | None = None
) -> Rates | None:
    """Over the last runs that asked for the same tasks, those before a run where one is given; none where
    there is none to go by."""
    tasks = sorted(question.task.value for question in questions)
    columns = select(RunRow.id, RunRow.questions, RunRow.created_at).order_by(RunRow.id.desc())
    if before is not None:
        columns = columns.where(RunRow.id < before)
    found: list[Rates] = []
    with read_transaction(engine) as connection:
        for run in connection.execute(columns.limit(_LOOKED_AT)).all():
            if sorted(question["task"] for question in run.questions) != tasks:
                continue
            rates = _of_run(connection, run.id)
            if rates is not None:
                found.append(rates)
            if len(found) == _RUNS:
                break
    if not found:
        return None
    return Rates(
        run_ids=tuple(id_ for one in found for id_ in one.run_ids),
        documents=sum(one.documents for one in found),
        characters=sum(one.characters for one in found),
        seconds=sum(one.seconds for one in found),
        tokens=sum(one.tokens for one in found),
    )


def _of_run(connection: Connection, run_id: int) -> Rates | None:
    worked = (
        select(JobRow.text_sha256, JobRow.started_at, JobRow.finished_at)
        .join(RunJobRow, RunJobRow.job_id == JobRow.id)
        .join(RunRow, RunRow.id == RunJobRow.run_id)
        .where(
            RunJobRow.run_id == run_id,
            JobRow.started_at >= RunRow.created_at,
            JobRow.status == JobStatus.FINISHED.value,
        )
        .subquery()
    )
    span = connection.execute(select(func.min(worked.c.started_at), func.max(worked.c.finished_at))).one()
    shas = select(worked.c.text_sha256).distinct()
    lengths = select(func.count(), func.coalesce(func.sum(func.length(TextRow.text)), 0))
    documents, characters = connection.execute(lengths.where(TextRow.sha256.in_(shas))).one()
    spent = connection.execute(
        select(
            RunRow.prefill_tokens + RunRow.shared_tokens + RunRow.decoded_tokens + RunRow.forced_tokens
        ).where(RunRow.id == run_id)
    ).scalar_one()
    if span[0] is None or characters < _FEW_CHARACTERS:
        return None
    seconds = (span[1] - span[0]).total_seconds()
    return Rates((run_id,), documents, characters, seconds, int(spent)) if seconds > 0 else None
