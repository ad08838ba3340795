"""Failed jobs, given another chance. Functions on an open transaction; `models.store.store` opens it."""

from __future__ import annotations

from sqlalchemy import ColumnExpressionArgument, Connection, func, select, update

from models.jobs import JobStatus
from models.outcomes import Reason
from models.schema.tables import IS_FAILED, DocumentRow, JobRow, RunJobRow


def retry(connection: Connection, run_id: int | None, reason: Reason | None) -> tuple[int, ...]:
    """See Store.retry."""
    chosen: list[ColumnExpressionArgument[bool]] = [IS_FAILED]
    if reason is not None:
        chosen.append(JobRow.reason == reason.value)
    if run_id is not None:
        chosen.append(JobRow.id.in_(select(RunJobRow.job_id).where(RunJobRow.run_id == run_id)))
    one_a_text = select(func.min(DocumentRow.id)).join(JobRow, JobRow.text_sha256 == DocumentRow.text_sha256)
    documents = connection.scalars(one_a_text.where(*chosen).group_by(JobRow.text_sha256)).all()
    pending = {
        "status": JobStatus.PENDING.value,
        "attempts_forgiven": JobRow.attempts,
        "kills": 0,
        "reason": None,
        "detail": "",
        "finished_at": None,
        "duration_seconds": None,
    }
    connection.execute(update(JobRow).where(*chosen).values(**pending))
    return tuple(sorted(documents))
