"""Lookup of existing jobs by their key: text, task, parameters and recipe, adopted recipes included."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from sqlalchemy import Connection, select

from models.jobs import JobStatus
from models.schema.tables import JobRow, RecipeAdoptionRow


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
    """The jobs that exist, and possibly others on the same texts and recipes.

    A finished job under an adopted recipe stands for a job that does not exist under the adopting one.
    """
    keys = list(wanted)
    adopted = adopted_recipes(connection, {key.recipe_id for key in keys})
    statement = select(
        JobRow.text_sha256, JobRow.task, JobRow.parameters_sha256, JobRow.recipe_id, JobRow.id, JobRow.status
    ).where(
        JobRow.text_sha256.in_({key.text_sha256 for key in keys}),
        JobRow.recipe_id.in_({key.recipe_id for key in keys}.union(*adopted.values())),
    )
    jobs = {JobKey(*row[:4]): StoredJob(row.id, row.status) for row in connection.execute(statement)}
    for key in keys:
        under_old = (jobs.get(key._replace(recipe_id=old_id)) for old_id in adopted.get(key.recipe_id, ()))
        finished = [job for job in under_old if job is not None and job.status == JobStatus.FINISHED]
        if finished:
            jobs.setdefault(key, finished[0])
    return jobs


def adopted_recipes(connection: Connection, recipe_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The recipes that each of these has adopted, directly or through others, nearest first."""
    rows = connection.execute(select(RecipeAdoptionRow.new_id, RecipeAdoptionRow.old_id))
    directly: dict[str, list[str]] = {}
    for new_id, old_id in rows:
        directly.setdefault(new_id, []).append(old_id)
    adopted = {}
    for recipe_id in recipe_ids:
        reached, queue = dict.fromkeys([recipe_id]), [recipe_id]
        while queue:
            for old_id in sorted(directly.get(queue.pop(0), ())):
                if old_id not in reached:
                    reached[old_id] = None
                    queue.append(old_id)
        if len(reached) > 1:
            adopted[recipe_id] = tuple(reached)[1:]
    return adopted
