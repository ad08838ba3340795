"""Trial run: a sample of notes under other settings, with a database, Redis and worker of its own.

Nothing of it reaches the archive. Its folder holds patient text, is private, and is removed at the end.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from console.processes.local_services import LocalServices
from console.processes.weights_preparation import ensure_serving
from console.terminal.opened_database import Database, database
from console.terminal.progress_bar import ProgressOutput
from console.terminal.progress_polling import POLL_SECONDS
from exports.scratch_folders import scratch_folder
from models.answers import Task
from models.documents import Document
from models.jobs import Question
from models.progress import RunProgress
from models.queries import recipe_comparison
from models.settings import Settings
from producer import submit


@dataclass(frozen=True, slots=True)
class TrialResult:
    """The answers of a trial run and its cost."""

    answers: dict[recipe_comparison.Key, dict[str, Any]]
    failed: int
    seconds: float
    """Seconds from the first job taken to the last one ended, without the worker's start."""


def run_trial(
    settings: Settings, documents: Sequence[Document], questions: Sequence[Question], reporter: ProgressOutput
) -> TrialResult:
    """Runs the trial. Raises NotemillError where the weights or the worker are unavailable."""
    home = settings.home_folder
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with scratch_folder(home, "compare-notes") as folder:
        if (home / "weights").exists():
            (folder / "weights").symlink_to(home / "weights")
        overrides = {"home": folder, "database_url": SecretStr(""), "redis_url": SecretStr("")}
        with database(trial_settings := settings.model_copy(update=overrides)) as opened:
            progress, recipes = _answer(trial_settings, opened, documents, questions, reporter)
            answers = {
                key: answer
                for recipe in recipes
                for key, answer in recipe_comparison.answers(opened.engine, recipe, documents).items()
            }
    began, ended = progress.first_started_at, progress.last_finished_at
    return TrialResult(answers, progress.failed, (ended - began).total_seconds() if began and ended else 0.0)


def _answer(
    settings: Settings,
    opened: Database,
    documents: Sequence[Document],
    questions: Sequence[Question],
    reporter: ProgressOutput,
) -> tuple[RunProgress, Sequence[str]]:
    serving = ensure_serving(settings, opened, reporter.say)
    summary_words = next(
        (question.parameters["max_words"] for question in questions if question.task is Task.SUMMARY), None
    )
    submitted = submit(
        documents,
        tasks=[question.task for question in questions if question.task is not Task.SEARCH],
        searches=[question.parameters["query"] for question in questions if question.task is Task.SEARCH],
        summary_words=summary_words,
        settings=settings,
        serving=serving,
    )
    services = LocalServices(settings, serving.id, reporter)
    try:
        while not (progress := opened.queries.run_progress(submitted.run_id)).is_done:
            services.ensure_running((progress.finished + progress.failed, progress.running))
            reporter.show(progress.finished + progress.failed, progress.total, "answering the sample")
            time.sleep(POLL_SECONDS)
    finally:
        reporter.close()
        services.stop(is_hurried=True)
    return progress, recipe_comparison.recipe_ids(opened.engine)
