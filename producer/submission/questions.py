"""Questions from task names, queries and a summary length. Raises UsageError."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.answers import Task
from models.errors import UsageError
from models.jobs import Question, Recipe, Serving, recipe_for
from models.labels import Label

SUMMARY_WORDS = range(20, 2_001)
"""The default of models.settings.Settings."""


def questions_for(
    tasks: str | Sequence[str | Task], searches: str | Sequence[str] = (), *, summary_words: int
) -> tuple[Question, ...]:
    """The questions in the order of the tasks, one for each query. Queries alone imply search."""
    tasks = (tasks,) if isinstance(tasks, str) else tasks
    searches = (searches,) if isinstance(searches, str) else searches
    requested_tasks = list(dict.fromkeys(_task(task) for task in tasks))
    if searches and Task.SEARCH not in requested_tasks:
        requested_tasks.append(Task.SEARCH)
    if not requested_tasks:
        raise UsageError("nothing is asked. Type --task entities, --task summary or --search 'QUERY'.")
    parameters: dict[Task, list[dict[str, Any]]] = {
        Task.ENTITIES: [{}],
        Task.SEARCH: [{"query": query} for query in _queries(searches)]
        if Task.SEARCH in requested_tasks
        else [],
        Task.SUMMARY: [{"max_words": _checked_summary_words(summary_words)}],
    }
    return tuple(
        Question(task=task, parameters=given) for task in requested_tasks for given in parameters[task]
    )


def recipes_for(
    questions: Sequence[Question], serving: Serving, labels: tuple[Label, ...]
) -> Mapping[Task, Recipe]:
    """The recipe of each requested task under this serving."""
    return {
        task: recipe_for(task, serving, labels)
        for task in dict.fromkeys(question.task for question in questions)
    }


def _task(name: str | Task) -> Task:
    try:
        return Task(name)
    except ValueError:
        raise UsageError(f"there is no task {name!r}. Tasks: {', '.join(Task)}.") from None


def _queries(searches: Sequence[str]) -> list[str]:
    queries = list(dict.fromkeys(query.strip() for query in searches))
    if not queries or "" in queries:
        raise UsageError("a search needs a query: --search 'signs of infection'")
    return queries


def _checked_summary_words(summary_words: int) -> int:
    if summary_words not in SUMMARY_WORDS:
        raise UsageError(
            f"a summary has {SUMMARY_WORDS[0]} to {SUMMARY_WORDS[-1]} words, not {summary_words}."
        )
    return summary_words
