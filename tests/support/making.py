"""Documents, questions, servings and answers for tests, and the steps that tests start from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.answers import (
    Answer,
    EntitiesAnswer,
    Entity,
    Passage,
    SearchAnswer,
    Section,
    Span,
    Summary,
    SummaryAnswer,
    SummarySentence,
    Task,
)
from models.documents import Document
from models.jobs import Job, Question, Recipe, Serving, Work, recipe_for
from models.labels import Label
from models.outcomes import Finished, Outcome
from models.store.registration import Registered
from models.store.store import Store

ENTITIES = Question(task=Task.ENTITIES)
SEARCH = Question(task=Task.SEARCH, parameters={"query": "Is there pain?"})
SUMMARY = Question(task=Task.SUMMARY, parameters={"max_words": 120})
QUESTIONS = (ENTITIES, SEARCH, SUMMARY)
PROBLEM = Label(name="problem", definition="a finding or disease")
NOTE = "Pain in the left arm.\r\nNo fever. Aspirin 100 mg daily.\n"


def a_serving(weights: str = "tiny", **prompts: str) -> Serving:
    """A serving; `a_serving(summary='other words')` has another prompt for one task."""
    tasks = {task.value: {"prompt": prompts.get(task.value, "as ever")} for task in Task}
    return Serving(ingredients={"weights": weights, "tasks": tasks})


def recipes_of(serving: Serving, labels: tuple[Label, ...] = (PROBLEM,)) -> dict[Task, Recipe]:
    return {task: recipe_for(task, serving, labels) for task in Task}


def documents(*texts: str, prefix: str = "note") -> list[Document]:
    """Documents with the ids `note-0`, `note-1`, …"""
    return [Document(external_id=f"{prefix}-{number}", text=text) for number, text in enumerate(texts)]


def submit(
    store: Store,
    batch: Sequence[Document],
    questions: Sequence[Question] = (ENTITIES,),
    serving: Serving | None = None,
    labels: tuple[Label, ...] = (PROBLEM,),
) -> tuple[int, Registered]:
    """Announces the serving, opens a run, registers the batch and closes the run; the run's id first."""
    serving = serving or a_serving()
    recipes = recipes_of(serving, labels)
    store.announce(serving)
    run_id = store.open_run(questions=questions, recipes=list(recipes.values()), sources=["notes/"])
    registered = store.register(run_id, batch, questions, recipes)
    store.close_run(run_id, documents=registered.documents, refused=len(registered.refused))
    return run_id, registered


def claim(store: Store, document_id: int, worker: str = "worker", **changes: Any) -> Work | None:
    """Claims with a long lease under the default serving."""
    defaults = {"serving_id": a_serving().id, "lease_seconds": 60.0, "max_kills": 3}
    (claimed,) = store.claim([document_id], worker=worker, **{**defaults, **changes})
    return claimed


def claimed(store: Store, document_id: int, worker: str = "worker", **changes: Any) -> Work:
    """Claims, and asserts that there was something to claim."""
    work = claim(store, document_id, worker, **changes)
    assert work is not None
    return work


def record(store: Store, job: Job, outcome: Outcome) -> bool:
    """Records one outcome; returns whether it was recorded. Raises the store's validation error."""
    (result,) = store.record([(job, outcome)])
    if isinstance(result, Exception):
        raise result
    return result


def finished(job: Job, text: str) -> Finished:
    """A small valid answer to the job."""
    whole = (Span(start=0, end=len(text)),)
    return Finished(answer=_answer(job.question.task, text), ranges_read=whole, duration_seconds=1.5)


def work_off(store: Store, document_id: int, **changes: Any) -> None:
    """Claims the jobs owed on the document and answers them."""
    work = claimed(store, document_id, **changes)
    for job in work.jobs:
        assert record(store, job, finished(job, work.text))


def _answer(task: Task, text: str) -> Answer:
    word = text.split()[0]
    start = text.index(word)
    span = Span(start=start, end=start + len(word))
    if task is Task.ENTITIES:
        return EntitiesAnswer(entities=(Entity(**span.model_dump(), text=word, label="problem"),))
    if task is Task.SEARCH:
        return SearchAnswer(passages=(Passage(**span.model_dump(), text=word, score=0.75),))
    sentence = SummarySentence(section="Course", text="Short.", sources=(span,))
    section = Section(title="Course", text="Short.")
    summary = Summary(title="A note", text="A note\nShort.", sections=(section,), sentences=(sentence,))
    return SummaryAnswer(summary=summary)
