"""Adoption of recipes: answers under an old recipe count as answers under a new one."""

from __future__ import annotations

from sqlalchemy import Engine, delete, select

from models.errors import UsageError
from models.jobs import Recipe
from models.schema.bulk_statements import insert_new
from models.schema.database import write_transaction
from models.schema.tables import RecipeAdoptionRow, RecipeRow
from models.security import audit_trail
from models.security.audit_trail import Action
from models.store.existing_jobs import adopted_recipes
from models.store.runs import recipe_row


class RecipeAdoptionWrites:
    """Adopts recipes and takes adoptions back; part of `Store`."""

    _engine: Engine
    _actor: str

    def adopt_recipe(self, old_id: str, new: Recipe | str) -> bool:
        """From now on finished answers under `old_id` stand for missing ones under `new`; no row of an answer
        changes. Returns False where it was so before. Written to the audit trail.

        Raises UsageError for recipes of other tasks or labels, and for one that already adopts the other way.
        """
        new_id = new if isinstance(new, str) else new.id
        with write_transaction(self._engine) as connection:
            if isinstance(new, Recipe):
                insert_new(connection, RecipeRow, [recipe_row(new)])
            recipes = {
                row.id: row
                for row in connection.execute(
                    select(RecipeRow.id, RecipeRow.task, RecipeRow.labels).where(
                        RecipeRow.id.in_([old_id, new_id])
                    )
                )
            }
            if len(recipes) != 2:
                raise UsageError("adopt wants two recipes of this database: type `notemill recipe list`")
            old_row, new_row = recipes[old_id], recipes[new_id]
            if (old_row.task, old_row.labels) != (new_row.task, new_row.labels):
                raise UsageError(
                    f"{old_id} and {new_id} answer other tasks or labels: they cannot be the same"
                )
            if new_id in adopted_recipes(connection, [old_id]).get(old_id, ()):
                raise UsageError(f"{old_id} has adopted {new_id} already; undo that first")
            existing = select(RecipeAdoptionRow).filter_by(old_id=old_id, new_id=new_id)
            if connection.execute(existing).first() is not None:
                return False
            insert_new(connection, RecipeAdoptionRow, [{"old_id": old_id, "new_id": new_id}])
            subject = {"old": old_id, "new": new_id}
            audit_trail.append(connection, Action.ADOPT, subject, actor=self._actor)
        return True

    def withdraw_adoption(self, old_id: str, new_id: str) -> bool:
        """Takes an adoption back; runs registered meanwhile keep their answers. False without one."""
        is_it = (RecipeAdoptionRow.old_id == old_id, RecipeAdoptionRow.new_id == new_id)
        with write_transaction(self._engine) as connection:
            is_withdrawn = bool(connection.execute(delete(RecipeAdoptionRow).where(*is_it)).rowcount)
            if is_withdrawn:
                subject = {"old": old_id, "new": new_id}
                audit_trail.append(connection, Action.UNADOPT, subject, actor=self._actor)
        return is_withdrawn
