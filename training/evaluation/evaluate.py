"""Runs one evaluation: reads the data, loads the engine if needed, returns metrics and cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from models.labels import load_labels
from models.settings import Settings
from training.evaluation import (
    assertion_evaluation,
    entity_evaluation,
    link_evaluation,
    search_evaluation,
    summary_evaluation,
)
from training.evaluation.baselines import registry as baselines
from training.evaluation.evaluation_result import Result
from training.evaluation.pipeline_runner import PipelineRunner
from training.evaluation.records.evaluation_data import (
    DataError,
    Half,
    Record,
    file_of,
    parsed_map,
    read_records,
)
from worker.engine_factory import LoadEngine, load
from worker.weights.task_config import task_config

TaskName = Literal["entities", "assertion", "links", "search", "summary"]
TASKS = get_args(TaskName)
ALL = "all"
"""In place of a task: every task, for data that is annotated for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPlan:
    """The options of `train evaluate`."""

    task: str
    data: Path
    map: Sequence[str] = ()
    """SOURCE=LABEL pairs; empty: our label names and those of known corpora."""
    limit: int | None = None
    half: str | None = None
    """odd or even: every second record of data without splits."""
    baselines: Sequence[str] = ()
    summary_words: int | None = None


def evaluate(plan: EvaluationPlan, settings: Settings, *, load_engine: LoadEngine = load) -> Result:
    """Runs the evaluation. Raises DataError for unusable data or plans before the network is loaded.

    The figures of all tasks are in `tasks`, by task; those of one task are at the top.
    """
    tasks, half = _checked(plan)
    path = file_of(plan.data)
    records = read_records(path, limit=plan.limit, half=half)
    facts = {"task": plan.task, "data": str(path), "records": len(records), "half": half}
    if tasks == ("assertion",) and task_config(settings).negation_model is None:
        result = assertion_evaluation.evaluate(records, path, plan.baselines)
        return Result(facts | result.figures, result.cases)
    with _pipeline_runner(settings, load_engine) as runner:
        results = {task: _run_task(task, records, path, plan, runner, settings) for task in tasks}
    if plan.task != ALL:
        [result] = results.values()
        return Result(facts | result.figures, result.cases)
    figures = {task: result.figures for task, result in results.items()}
    return Result(facts | {"tasks": figures}, [case for result in results.values() for case in result.cases])


def _run_task(
    task: TaskName,
    records: Sequence[Record],
    path: Path,
    plan: EvaluationPlan,
    runner: PipelineRunner,
    settings: Settings,
) -> Result:
    own_baselines = [name for name in plan.baselines if name in baselines.OF_TASK[task]]
    match task:
        case "assertion":
            return assertion_evaluation.evaluate(records, path, own_baselines, runner)
        case "entities":
            return entity_evaluation.evaluate(records, path, parsed_map(plan.map), own_baselines, runner)
        case "links":
            return link_evaluation.evaluate(records, path, parsed_map(plan.map), runner)
        case "search":
            return search_evaluation.evaluate(records, path, own_baselines, runner)
        case _:
            words = plan.summary_words or settings.summary_words
            return summary_evaluation.evaluate(records, path, own_baselines, runner, words)


@contextmanager
def _pipeline_runner(settings: Settings, load_engine: LoadEngine) -> Iterator[PipelineRunner]:
    """The pipeline runner; checks the task configuration and labels before it loads the weights."""
    config, labels = task_config(settings), load_labels(settings.labels_file)
    engine = load_engine(settings, None)
    try:
        yield PipelineRunner(engine, config, labels, settings.worker_threads)
    finally:
        engine.close()


def _checked(plan: EvaluationPlan) -> tuple[tuple[TaskName, ...], Half | None]:
    if plan.task not in (*TASKS, ALL):
        raise DataError(f"there is no task {plan.task!r} to evaluate. Tasks: {', '.join((*TASKS, ALL))}.")
    if plan.half not in (None, "odd", "even"):
        raise DataError(f"--half {plan.half!r} is neither odd nor even.")
    if plan.map and plan.task not in ("entities", "links"):
        raise DataError(f"--map goes with --task entities or links, not {plan.task}.")
    baselines.check(plan.task, plan.baselines)
    tasks = TASKS if plan.task == ALL else (plan.task,)
    return tasks, plan.half  # type: ignore[return-value]  # both were looked up
