"""Documents that leave a run: a later version has come, or the source has taken the note back.

What was answered stays; what was owed for this run alone is cancelled. Functions on an open transaction;
`models.store.store` opens it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select, update

from models.schema.tables import DocumentRow, RunJobRow, RunRow
from models.store.cancellation import cancel_unwanted


def leave_run(connection: Connection, run_id: int, document_ids: Sequence[int]) -> None:
    """Takes documents out of the run, with the jobs that no other document of it has."""
    if not document_ids:
        return
    is_theirs = (RunJobRow.run_id == run_id, RunJobRow.document_id.in_(document_ids))
    job_ids = list(connection.scalars(select(RunJobRow.job_id).where(*is_theirs).distinct()))
    connection.execute(delete(RunJobRow).where(*is_theirs))
    cancel_unwanted(connection, job_ids)


def withdraw(connection: Connection, run_id: int, external_ids: Sequence[str]) -> tuple[str, ...]:
    """See Store.withdraw."""
    known = select(DocumentRow.id, DocumentRow.external_id).where(DocumentRow.external_id.in_(external_ids))
    names = {row.id: row.external_id for row in connection.execute(known)}
    is_of_run = (RunJobRow.run_id == run_id, RunJobRow.document_id.in_(names))
    found = list(connection.scalars(select(RunJobRow.document_id).where(*is_of_run).distinct()))
    leave_run(connection, run_id, found)
    left = RunRow.documents - len(found)
    connection.execute(update(RunRow).where(RunRow.id == run_id).values(documents=left))
    return tuple(names[document_id] for document_id in found)
