"""Retries: failed jobs become pending again."""

from __future__ import annotations

from sqlalchemy import ColumnExpressionArgument, Engine, func, select, update

from models.jobs import JobStatus
from models.outcomes import Reason
from models.schema.database import write_transaction
from models.schema.job_conditions import IS_FAILED
from models.schema.tables import DocumentRow, JobRow, RunJobRow
from models.security import audit_trail
from models.security.audit_trail import Action


class RetryWrites:
    """Retries failed jobs; part of `Store`."""

    _engine: Engine
    _actor: str

    def retry(self, *, run_id: int | None, reason: Reason | None) -> tuple[int, ...]:
        """Failed jobs (of the run, for the reason, where given) are pending again and have all their attempts
        again. Earlier claims stay on record. Returns one document to enqueue for each text."""
        is_failed: list[ColumnExpressionArgument[bool]] = [IS_FAILED]
        if reason is not None:
            is_failed.append(JobRow.reason == reason.value)
        if run_id is not None:
            is_failed.append(JobRow.id.in_(select(RunJobRow.job_id).where(RunJobRow.run_id == run_id)))
        one_a_text = select(func.min(DocumentRow.id)).join(
            JobRow, JobRow.text_sha256 == DocumentRow.text_sha256
        )
        with write_transaction(self._engine) as connection:
            documents = connection.scalars(one_a_text.where(*is_failed).group_by(JobRow.text_sha256)).all()
            connection.execute(update(JobRow).where(*is_failed).values(**_PENDING))
            named = None if reason is None else reason.value
            subject = {"run": run_id, "reason": named, "documents": len(documents)}
            audit_trail.append(connection, Action.RETRY, subject, actor=self._actor)
        return tuple(sorted(documents))


_PENDING = {
    "status": JobStatus.PENDING.value,
    "attempts_forgiven": JobRow.attempts,
    "kills": 0,
    "reason": None,
    "detail": "",
    "finished_at": None,
    "duration_seconds": None,
}
