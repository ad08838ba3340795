"""Runs: serving announcements, opening, closing, withdrawal of documents."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine, delete, insert, select, update

from models.jobs import Question, Recipe, Serving, base_ids
from models.schema.bulk_statements import insert_new, upsert
from models.schema.database import write_transaction
from models.schema.database_clock import utc_now
from models.schema.tables import DocumentRow, RecipeRow, RunJobRow, RunRow, ServingBaseRow, ServingRow
from models.security import audit_trail
from models.security.audit_trail import Action
from models.store.cancellation import cancel_unwanted


class RunWrites:
    """Announces servings, opens and closes runs; part of `Store`."""

    _engine: Engine
    _actor: str

    def announce(self, serving: Serving) -> None:
        """A worker declares its weights and settings; `submit` asks under the newest announcement."""
        row = {"id": serving.id, "ingredients": serving.ingredients, "announced_at": utc_now()}
        bases = [
            {"serving_id": serving.id, "task": task.value, "base_id": base_id}
            for task, base_id in sorted(base_ids(serving).items())
        ]
        with write_transaction(self._engine) as connection:
            upsert(connection, ServingRow, row, key="id")
            insert_new(connection, ServingBaseRow, bases)

    def open_run(
        self,
        *,
        questions: Sequence[Question],
        recipes: Sequence[Recipe],
        sources: Sequence[str],
        traceparent: str | None = None,
    ) -> int:
        """The id of a new run. `recipes`: every one that `register` will be given for this run.
        `traceparent`: the trace that the work for this run belongs to."""
        rows = sorted((recipe_row(recipe) for recipe in recipes), key=lambda row: str(row["id"]))
        run = {
            "questions": [question.model_dump(mode="json") for question in questions],
            "recipe_ids": [row["id"] for row in rows],
            "sources": list(sources),
            "traceparent": traceparent,
        }
        with write_transaction(self._engine) as connection:
            insert_new(connection, RecipeRow, rows)
            run_id = connection.scalars(insert(RunRow).values(**run).returning(RunRow.id)).one()
            audit_trail.append(connection, Action.SUBMIT, {"run": run_id}, actor=self._actor)
        return run_id

    def close_run(self, run_id: int, *, documents: int, refused: int) -> None:
        """Registration is complete. `documents` and `refused` are the sums over the run's batches; `refused`
        includes the records that never became a document."""
        closed = {"closed_at": utc_now(), "documents": documents, "refused": refused}
        with write_transaction(self._engine) as connection:
            connection.execute(update(RunRow).where(RunRow.id == run_id).values(**closed))

    def withdraw(self, run_id: int, external_ids: Sequence[str]) -> tuple[str, ...]:
        """Takes the documents with these ids out of the run: the source replaced or deleted the notes.
        Answers stay; jobs that are owed for this run alone are cancelled. Returns the ids that it had."""
        named = select(DocumentRow.id, DocumentRow.external_id).where(
            DocumentRow.external_id.in_(external_ids)
        )
        with write_transaction(self._engine) as connection:
            names = {row.id: row.external_id for row in connection.execute(named)}
            is_of_run = (RunJobRow.run_id == run_id, RunJobRow.document_id.in_(names))
            withdrawn = list(connection.scalars(select(RunJobRow.document_id).where(*is_of_run).distinct()))
            leave_run(connection, run_id, withdrawn)
            remaining = RunRow.documents - len(withdrawn)
            connection.execute(update(RunRow).where(RunRow.id == run_id).values(documents=remaining))
        return tuple(names[document_id] for document_id in withdrawn)


def leave_run(connection: Connection, run_id: int, document_ids: Sequence[int]) -> None:
    """Takes documents out of the run, with the jobs that no other document of it has."""
    if not document_ids:
        return
    is_selected = (RunJobRow.run_id == run_id, RunJobRow.document_id.in_(document_ids))
    job_ids = list(connection.scalars(select(RunJobRow.job_id).where(*is_selected).distinct()))
    connection.execute(delete(RunJobRow).where(*is_selected))
    cancel_unwanted(connection, job_ids)


def recipe_row(recipe: Recipe) -> dict[str, object]:
    return {
        "id": recipe.id,
        "base_id": recipe.base_id,
        "task": recipe.task.value,
        "ingredients": recipe.ingredients,
        "labels": [label.model_dump(mode="json") for label in recipe.labels],
    }
