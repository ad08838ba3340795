"""`notemill train finetune`: trains an adapter on a prepared folder, or with --plan shows the memory it
takes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from console.terminal.exit_status import PROBLEM
from console.terminal.terminal import human_duration, stderr, stdout
from models.errors import UsageError
from models.labels import load_labels
from models.security.training_provenance import record_trained_folder
from models.settings import Settings, load_settings
from training.finetune.training_memory import TrainingPlan, gib, plan_training
from training.finetune.training_recipe import TrainingRecipe, load_recipe
from worker.engine.memory.memory_plan import GIB
from worker.engine.memory.model_shape import CONFIGS, ModelShape, shape_of_folder
from worker.weights.model_files import is_prepared, prepared_folder


@dataclass(frozen=True, kw_only=True)
class FinetuneRequest:
    """The options of the command line."""

    data: Path | None
    output: Path | None
    weights: str | None
    recipe: str | None
    start: Path | None
    changes: dict[str, Any]
    """Changes to the training recipe; None keeps its value."""
    stop_after_steps: int | None
    is_restarting: bool


def finetune_weights(
    wanted: FinetuneRequest, *, gib_of_card: float | None, is_plan: bool, as_json: bool
) -> int:
    """Trains, or shows the plan; exit status 1 where that does not fit. Raises UsageError."""
    settings = load_settings()
    settings = settings.model_copy(update={"weights": wanted.weights} if wanted.weights else {})
    recipe = load_recipe(wanted.recipe, settings.weights, **wanted.changes)
    if is_plan:
        return _show_plan(settings, recipe, gib_of_card or 8.0, as_json=as_json)
    if wanted.data is None or wanted.output is None:
        raise UsageError("say what to train on and where to: --data PREPARED --output FOLDER")
    from training.finetune.finetune import FinetuneJob, finetune

    job = FinetuneJob(
        data=wanted.data,
        output=wanted.output,
        recipe=recipe,
        settings=settings,
        labels=load_labels(settings.labels_file),
        start=wanted.start,
        is_restarting=wanted.is_restarting,
        stop_after_steps=wanted.stop_after_steps,
    )
    record_trained_folder(settings, wanted.output)
    console = stderr()
    facts = finetune(job, lambda line: console.print(line, soft_wrap=True))
    if as_json:
        print(json.dumps(facts))
    else:
        stdout().print(
            f"{facts['steps']:,} steps in {human_duration(facts['seconds'])}; the adapter is in"
            f" {wanted.output}. Serve it: NOTEMILL_ADAPTER={wanted.output}",
            soft_wrap=True,
        )
    return 0


def _show_plan(settings: Settings, recipe: TrainingRecipe, card_gib: float, *, as_json: bool) -> int:
    is_here = is_prepared(settings) or settings.weights not in CONFIGS
    shape = (
        shape_of_folder(prepared_folder(settings)) if is_here else ModelShape.of(CONFIGS[settings.weights])
    )
    is_cuda = settings.device != "cpu"
    plan = plan_training(shape, recipe, budget_bytes=int(card_gib * GIB), is_cuda=is_cuda)
    if as_json:
        print(json.dumps({"fits": plan.fits, "needed_bytes": plan.needed_bytes, "parts": plan.parts}))
    else:
        _print(plan, card_gib)
    return 0 if plan.fits else PROBLEM


def _print(plan: TrainingPlan, card_gib: float) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("memory")
    table.add_column("GiB", justify="right")
    for name, size in [*plan.parts.items(), ("in all", plan.needed_bytes)]:
        table.add_row(name, gib(size))
    console = stdout()
    console.print(table)
    spare_bytes = plan.budget_bytes - plan.needed_bytes
    console.print(
        f"It fits {card_gib:g} GiB, {gib(spare_bytes)} to spare."
        if plan.fits
        else f"It does not fit {card_gib:g} GiB, {gib(-spare_bytes)} too much:"
        " take a smaller row_tokens or rank."
    )
