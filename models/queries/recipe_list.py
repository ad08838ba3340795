"""Reads of recipes: which ones the archive was answered under, and what each consists of."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Engine, func, select

from models.answers import Task
from models.errors import UsageError
from models.jobs import JobStatus
from models.schema.database import read_transaction
from models.schema.tables import JobRow, RecipeAdoptionRow, RecipeRow


class StoredRecipe(BaseModel):
    """One recipe of the archive."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    task: Task
    ingredients: dict[str, Any]
    labels: list[Any]
    created_at: datetime
    finished_jobs: int
    last_finished_at: datetime | None
    adopted_by: tuple[str, ...]
    """Recipes under which its answers count too."""


class RecipeQueries:
    """Reads recipes; part of `Queries`."""

    _engine: Engine

    def recipes(self) -> list[StoredRecipe]:
        """All recipes, in the order in which they were first used."""
        is_finished = JobRow.status == JobStatus.FINISHED.value
        counts = (
            select(JobRow.recipe_id, func.count().label("jobs"), func.max(JobRow.finished_at).label("last"))
            .where(is_finished)
            .group_by(JobRow.recipe_id)
            .subquery()
        )
        statement = (
            select(RecipeRow, counts.c.jobs, counts.c.last)
            .outerjoin(counts, counts.c.recipe_id == RecipeRow.id)
            .order_by(RecipeRow.created_at, RecipeRow.id)
        )
        with read_transaction(self._engine) as connection:
            adoptions = connection.execute(select(RecipeAdoptionRow.old_id, RecipeAdoptionRow.new_id)).all()
            rows = connection.execute(statement).all()
        return [
            StoredRecipe(
                id=row.id,
                task=Task(row.task),
                ingredients=row.ingredients,
                labels=row.labels,
                created_at=row.created_at,
                finished_jobs=row.jobs or 0,
                last_finished_at=row.last,
                adopted_by=tuple(sorted(new_id for old_id, new_id in adoptions if old_id == row.id)),
            )
            for row in rows
        ]

    def stored_recipe(self, prefix: str) -> StoredRecipe:
        """The recipe whose id has this prefix. Raises UsageError where there is none or several."""
        matches = [recipe for recipe in self.recipes() if recipe.id.startswith(prefix)]
        if len(matches) != 1:
            count = len(matches) or "no"
            raise UsageError(
                f"{count} recipes begin with {prefix!r}: type `notemill recipe list` for the ids"
            )
        return matches[0]
