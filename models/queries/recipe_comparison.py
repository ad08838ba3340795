"""Reads for `notemill compare`: a recipe by the prefix of its id, a sample of notes, and their answers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from models.answers import Task
from models.documents import Document
from models.errors import UsageError
from models.jobs import JobStatus, Question
from models.queries import answer_rows
from models.schema.database import read_transaction
from models.schema.tables import DocumentRow, JobRow, RecipeRow, TextRow

Key = tuple[str, str, str]
"""The note's id, the task, and the query of a search (else '')."""
_IS_FINISHED = JobRow.status == JobStatus.FINISHED.value


def recipe(engine: Engine, prefix: str) -> tuple[str, Task]:
    """The recipe whose id has this prefix, and its task. Raises UsageError if there is none or several."""
    recipes = select(RecipeRow.id, RecipeRow.task).where(RecipeRow.id.startswith(prefix, autoescape=True))
    with read_transaction(engine) as connection:
        matches = connection.execute(recipes.limit(2)).all()
    if len(matches) != 1:
        raise UsageError(
            f"{len(matches) or 'no'} recipes begin with {prefix!r}. The ids are in the column recipe of"
            " v_newest_answers; or type now, or a settings file (.toml)."
        )
    return matches[0].id, Task(matches[0].task)


def recipe_ids(engine: Engine) -> list[str]:
    """The recipes that have a finished job."""
    with read_transaction(engine) as connection:
        return list(connection.scalars(select(JobRow.recipe_id).where(_IS_FINISHED).distinct()))


def sample_notes(engine: Engine, recipe_ids: Collection[str], count: int) -> list[Document]:
    """Notes that all of these recipes have answered, in the order of their texts' sha256: a pseudo-random
    sample that is the same each time."""
    texts = select(TextRow.sha256, TextRow.text).order_by(TextRow.sha256).limit(count)
    for id_ in recipe_ids:
        answered = select(JobRow.text_sha256).where(JobRow.recipe_id == id_, _IS_FINISHED)
        texts = texts.where(TextRow.sha256.in_(answered))
    with read_transaction(engine) as connection:
        by_sha = {row.sha256: row.text for row in connection.execute(texts)}
        names = select(func.min(DocumentRow.external_id).label("external_id"), DocumentRow.text_sha256)
        named = names.where(DocumentRow.text_sha256.in_(by_sha)).group_by(DocumentRow.text_sha256)
        rows = connection.execute(named).all()
    return [Document(external_id=row.external_id, text=by_sha[row.text_sha256]) for row in rows]


def questions(engine: Engine, recipe_id: str, documents: Sequence[Document]) -> list[Question]:
    """The questions asked about these notes under the recipe."""
    with read_transaction(engine) as connection:
        rows = _jobs(connection, recipe_id, documents)
    row_by_parameters = {str(row.parameters): row for row in rows}
    return [Question(task=row.task, parameters=row.parameters) for row in row_by_parameters.values()]


def answers(engine: Engine, recipe_id: str, documents: Sequence[Document]) -> dict[Key, dict[str, Any]]:
    """Answers under the recipe: {'entities': […]}, {'passages': […]} or {'summary': {…}}."""
    names = {document.text_sha256: document.external_id for document in documents}
    with read_transaction(engine) as connection:
        rows = _jobs(connection, recipe_id, documents)
        by_job = answer_rows.answers(connection, {(row.id, row.task) for row in rows})
    return {
        (names[row.text_sha256], row.task, str(row.parameters.get("query", ""))): by_job[row.id]
        for row in rows
    }


def count_texts(engine: Engine) -> int:
    """The number of distinct texts, which a new recipe has to read."""
    with read_transaction(engine) as connection:
        return connection.scalars(select(func.count()).select_from(TextRow)).one()


def _jobs(connection: Connection, recipe_id: str, documents: Sequence[Document]) -> Sequence[Any]:
    of_notes = JobRow.text_sha256.in_([document.text_sha256 for document in documents])
    jobs = select(JobRow.id, JobRow.task, JobRow.parameters, JobRow.text_sha256)
    return connection.execute(
        jobs.where(JobRow.recipe_id == recipe_id, _IS_FINISHED, of_notes).order_by(JobRow.id)
    ).all()
