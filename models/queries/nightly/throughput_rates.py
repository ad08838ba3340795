"""Measured throughput of this installation, from stored runs, for the forecast of a nightly run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, func, select

from models.jobs import JobStatus, Question
from models.schema.database import read_transaction
from models.schema.tables import JobRow, RunJobRow, RunRow, TextRow

_RUNS = 5
_LOOKED_AT = 50
"""The number of recent runs that are searched for runs with the same tasks."""
_FEW_CHARACTERS = 2_000
"""A run with fewer characters measures mainly the worker's start."""


@dataclass(frozen=True, slots=True)
class ThroughputRates:
    """Throughput over several runs with the same tasks."""

    run_ids: tuple[int, ...]
    documents: int
    """Distinct texts that the runs computed."""
    characters: int
    seconds: float
    """Wall-clock time from the first start of a job to the last end, summed over the runs."""
    tokens: int
    """Prompt and generated tokens; tokens from the prefix cache count each time."""

    @property
    def characters_a_second(self) -> float:
        return self.characters / self.seconds

    @property
    def tokens_a_character(self) -> float:
        return self.tokens / self.characters


def measured_rates(
    engine: Engine, questions: Sequence[Question], *, before: int | None = None
) -> ThroughputRates | None:
    """The rates over the last runs with the same tasks, before the run `before` if given; None without
    such a run."""
    tasks = sorted(question.task.value for question in questions)
    columns = select(RunRow.id, RunRow.questions, RunRow.created_at).order_by(RunRow.id.desc())
    if before is not None:
        columns = columns.where(RunRow.id < before)
    by_run: list[ThroughputRates] = []
    with read_transaction(engine) as connection:
        for run in connection.execute(columns.limit(_LOOKED_AT)).all():
            if sorted(question["task"] for question in run.questions) != tasks:
                continue
            rates = _of_run(connection, run.id)
            if rates is not None:
                by_run.append(rates)
            if len(by_run) == _RUNS:
                break
    if not by_run:
        return None
    return ThroughputRates(
        run_ids=tuple(id_ for rates in by_run for id_ in rates.run_ids),
        documents=sum(rates.documents for rates in by_run),
        characters=sum(rates.characters for rates in by_run),
        seconds=sum(rates.seconds for rates in by_run),
        tokens=sum(rates.tokens for rates in by_run),
    )


def _of_run(connection: Connection, run_id: int) -> ThroughputRates | None:
    computed = (
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
    span = connection.execute(select(func.min(computed.c.started_at), func.max(computed.c.finished_at))).one()
    shas = select(computed.c.text_sha256).distinct()
    lengths = select(func.count(), func.coalesce(func.sum(func.length(TextRow.text)), 0))
    documents, characters = connection.execute(lengths.where(TextRow.sha256.in_(shas))).one()
    tokens = connection.execute(
        select(
            RunRow.prefill_tokens + RunRow.shared_tokens + RunRow.decoded_tokens + RunRow.forced_tokens
        ).where(RunRow.id == run_id)
    ).scalar_one()
    if span[0] is None or characters < _FEW_CHARACTERS:
        return None
    seconds = (span[1] - span[0]).total_seconds()
    return ThroughputRates((run_id,), documents, characters, seconds, int(tokens)) if seconds > 0 else None
