"""Questions, recipes, jobs and claimed work: the values that pass between the store and the pipeline."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.answers import Task
from models.labels import Label


class JobStatus(StrEnum):
    """The state of a job."""

    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttemptEnd(StrEnum):
    """The end of one claim of a job; a running claim has none."""

    FINISHED = "finished"
    FAILED = "failed"
    GIVEN_BACK = "given_back"
    """The worker shut down in order; the attempt does not count."""
    RELEASED = "released"
    """An unexpected exception ended it; the job is pending again."""
    LEASE_EXPIRED = "lease_expired"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def fingerprint(ingredients: dict[str, Any]) -> str:
    """16 hex digits of the sha256 of the canonical JSON; equal for equal content only."""
    canonical = json.dumps(ingredients, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()[:16]


class Question(_Frozen):
    """One task with its parameters: search {'query': str}, summary {'max_words': int}, entities {}."""

    task: Task
    parameters: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_its_parameters(self) -> Question:
        wanted = {Task.ENTITIES: set[str](), Task.SEARCH: {"query"}, Task.SUMMARY: {"max_words"}}[self.task]
        if set(self.parameters) != wanted:
            raise ValueError(
                f"{self.task} takes the parameters {sorted(wanted)}, not {sorted(self.parameters)}"
            )
        if self.task is Task.SEARCH and not str(self.parameters["query"]).strip():
            raise ValueError("the search query is empty")
        return self

    @property
    def parameters_sha256(self) -> str:
        canonical = json.dumps(self.parameters, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(canonical.encode("utf-8")).hexdigest()


class Serving(_Frozen):
    """Everything about one worker, except the labels, that can change an answer."""

    ingredients: dict[str, Any]
    """Weights, quantization, adapter, and for each task the prompt, grammar, form and chunking."""

    @property
    def id(self) -> str:
        return fingerprint(self.ingredients)


class Recipe(_Frozen):
    """A serving's part for one task, with the labels if the task has any. Its id is a fingerprint."""

    task: Task
    serving_id: str
    ingredients: dict[str, Any]
    labels: tuple[Label, ...] = ()

    @property
    def id(self) -> str:
        return fingerprint(self.model_dump(mode="json", exclude={"serving_id"}))

    @property
    def base_id(self) -> str:
        """The recipe without its labels: every serving with this base can answer under the recipe."""
        return fingerprint(self.model_dump(mode="json", include={"task", "ingredients"}))


def recipe_for(task: Task, serving: Serving, labels: tuple[Label, ...]) -> Recipe:
    """The recipe under which `serving` answers `task`.

    Takes the part of the serving that all tasks share and the task's own part, so that a changed summary
    prompt does not change the recipe of entities and its stored answers.
    """
    shared = {key: value for key, value in serving.ingredients.items() if key != "tasks"}
    ingredients = {**shared, "task": serving.ingredients["tasks"][task.value]}
    return Recipe(
        task=task,
        serving_id=serving.id,
        ingredients=ingredients,
        labels=labels if task is Task.ENTITIES else (),
    )


def base_ids(serving: Serving) -> dict[Task, str]:
    """Maps each task to the base of every recipe that `serving` can answer under, whatever the labels."""
    return {Task(task): recipe_for(Task(task), serving, ()).base_id for task in serving.ingredients["tasks"]}


class Job(_Frozen):
    """One question on one text, as a worker claims it."""

    id: int
    question: Question
    recipe_id: str
    labels: tuple[Label, ...] = ()
    attempt: int = Field(ge=1)
    """The number of the claim; the store refuses a write with an older number than the job's."""
    unexpected_errors: int = Field(default=0, ge=0)
    """Earlier claims that ended in an unexpected exception; dead workers and forgiven claims do not count."""


class Work(_Frozen):
    """A worker's claim: the text of a document and the jobs owed on it."""

    document_id: int
    text: str
    jobs: tuple[Job, ...]
    is_urgent: bool = False
    """A person waits for one of the jobs."""
