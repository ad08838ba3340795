"""Counts of a run's answers, which `notemill run` prints at its end."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Engine, Select, func, select

from models.jobs import JobStatus
from models.schema.answer_tables import EntityRow, PassageRow, SummaryRow, SummarySentenceRow
from models.schema.database import read_transaction
from models.schema.tables import JobRow, RunJobRow, RunRow


class AnswerCounts(BaseModel):
    """The answers of one run, counted; an answer that documents of equal text share counts once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    entities: dict[str, int]
    """Entities by label, the most frequent first."""
    finished_before: dict[str, int]
    """Finished jobs by task that an earlier run computed."""
    passages: int
    summaries: int
    summary_sentences: int
    flagged_sentences: int
    """Summary sentences with a flag."""

    @property
    def total_entities(self) -> int:
        return sum(self.entities.values())


def count_answers(engine: Engine, run_id: int) -> AnswerCounts:
    """Counts the answers of a run, including those that earlier runs computed."""
    of_run = select(RunJobRow.job_id).where(RunJobRow.run_id == run_id)
    by_label = (
        select(EntityRow.label, func.count())
        .where(EntityRow.job_id.in_(of_run))
        .group_by(EntityRow.label)
        .order_by(func.count().desc(), EntityRow.label)
    )
    before = (
        select(JobRow.task, func.count())
        .where(JobRow.id.in_(of_run), JobRow.status == JobStatus.FINISHED.value)
        .where(JobRow.finished_at < select(RunRow.created_at).where(RunRow.id == run_id).scalar_subquery())
        .group_by(JobRow.task)
    )
    counted: dict[str, Select[int]] = {
        "passages": select(func.count()).where(PassageRow.job_id.in_(of_run)),
        "summaries": select(func.count()).where(SummaryRow.job_id.in_(of_run)),
        "summary_sentences": select(func.count()).where(SummarySentenceRow.job_id.in_(of_run)),
        "flagged_sentences": select(func.count()).where(
            SummarySentenceRow.job_id.in_(of_run), SummarySentenceRow.flags != ""
        ),
    }
    with read_transaction(engine) as connection:
        entities = {row[0]: row[1] for row in connection.execute(by_label)}
        finished_before = {row[0]: row[1] for row in connection.execute(before)}
        numbers = {name: connection.scalars(statement).one() for name, statement in counted.items()}
    return AnswerCounts(entities=entities, finished_before=finished_before, **numbers)
