"""Lookup of existing jobs by their key: text, task, parameters and recipe."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, select

from models.schema.tables import JobRow


class JobKey(NamedTuple):
    """The unique key of a job."""

    text_sha256: str
    task: str
    parameters_sha256: str
    recipe_id: str


class StoredJob(NamedTuple):
    """An existing job."""

    id: int
    status: str


def stored_jobs(connection: Connection, wanted: Iterable[JobKey]) -> dict[JobKey, StoredJob]:
    """The jobs that exist, and possibly others on the same texts and recipes."""
    statement = select(
        JobRow.text_sha256, JobRow.task, JobRow.parameters_sha256, JobRow.recipe_id, JobRow.id, JobRow.status
    ).where(
        JobRow.text_sha256.in_({key.text_sha256 for key in wanted}),
        JobRow.recipe_id.in_({key.recipe_id for key in wanted}),
    )
    return {JobKey(*row[:4]): StoredJob(row.id, row.status) for row in connection.execute(statement)}
