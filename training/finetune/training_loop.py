"""Training loop: packed rows, gradient accumulation, validation, early stopping, checkpoints.

All state that a step depends on is in a checkpoint or follows from seed and epoch, so that a killed run
continues with the same losses.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from training.examples.row_packing import Row, packed_rows, row_groups
from training.examples.training_sequences import TrainingSequence
from training.finetune.checkpoints import Checkpoints
from training.finetune.losses import TargetLoss, target_losses
from training.finetune.training_recipe import TrainingRecipe

_FLOOR = 0.02
"""Smallest share of the learning rate, reached at the last step."""


@dataclass(slots=True)
class TrainingProgress:
    """Progress of a run; a checkpoint keeps it beside weights and random state."""

    losses: list[float] = field(default_factory=list)
    """The loss of each step."""
    validations: list[dict[str, Any]] = field(default_factory=list)
    best_loss: float = math.inf
    worse_in_a_row: int = 0
    tokens: int = 0
    seconds: float = 0.0
    is_stopped: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in TrainingProgress.__slots__}


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """Everything that a training run needs."""

    network: Any
    optimizer: torch.optim.Optimizer
    recipe: TrainingRecipe
    epoch: Callable[[int], list[TrainingSequence]]
    """The training sequences of an epoch, counted from 1, in order."""
    validation: Sequence[Row]
    checkpoints: Checkpoints
    keep_best: Callable[[], None]
    """Saves the adapter as the best so far."""
    say: Callable[[str], None]
    stop_after_steps: int | None = None
    """Stops after this step as if killed; the learning rate is that of the whole run."""


def train(run: TrainingRun) -> TrainingProgress:
    """Trains until the recipe ends or validation stops it; continues from the last checkpoint, if any."""
    steps_an_epoch = len(_steps(run, 1))
    total = min(run.recipe.max_steps or 10**9, run.recipe.epochs * steps_an_epoch)
    restored = run.checkpoints.restore(run.network, run.optimizer)
    done, progress = (restored[0], TrainingProgress(**restored[1])) if restored else (0, TrainingProgress())
    if restored:
        run.say(f"continuing after step {done:,}")
    else:
        _validate(run, progress, 0)
    for number, step in _numbered(run, done):
        if progress.is_stopped or number > min(total, run.stop_after_steps or total):
            break
        _one_step(run, step, progress, learning_rate(run.recipe, number, total))
        is_last = number == total
        if number % run.recipe.validate_every_steps == 0 or is_last:
            _validate(run, progress, number)
        _report_progress(run, progress, number, total, steps_an_epoch)
        if number % run.recipe.checkpoint_every_steps == 0 or is_last or progress.is_stopped:
            run.checkpoints.save(number, run.network, run.optimizer, progress.as_dict())
    return progress


def learning_rate(recipe: TrainingRecipe, step: int, total: int) -> float:
    """The learning rate of a step: linear warm-up, then a half cosine down to a fiftieth at the last step."""
    warm = min(1.0, step / max(1, recipe.warmup_steps))
    return recipe.learning_rate * warm * max(_FLOOR, 0.5 * (1 + math.cos(math.pi * step / max(1, total))))


def _numbered(run: TrainingRun, done: int) -> Iterator[tuple[int, Sequence[Row]]]:
    """Yields the steps after `done` with their numbers, counted from 1 over all epochs."""
    number = 0
    for epoch in range(1, run.recipe.epochs + 2):  # a later epoch may have a row less than the first
        steps = _steps(run, epoch)
        for index in range(max(0, done - number), len(steps)):
            yield number + index + 1, steps[index]
        number += len(steps)


def _steps(run: TrainingRun, epoch: int) -> list[Sequence[Row]]:
    return row_groups(packed_rows(run.epoch(epoch), run.recipe.row_tokens), run.recipe.rows_a_step)


def _one_step(run: TrainingRun, step: Sequence[Row], progress: TrainingProgress, rate: float) -> None:
    began = time.monotonic()
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    num_targets, loss = sum(row.num_targets for row in step), 0.0
    run.network.train()
    for rows in row_groups(step, _rows_a_pass(run)):
        pass_loss = (
            torch.stack([target_loss.loss for target_loss in target_losses(run.network, rows)]).sum()
            / num_targets
        )
        pass_loss.backward()  # type: ignore[no-untyped-call]
        loss += float(pass_loss.detach())
        progress.tokens += sum(len(row.tokens) for row in rows)
    torch.nn.utils.clip_grad_norm_(
        [parameter for parameter in run.network.parameters() if parameter.requires_grad],
        run.recipe.max_gradient_norm,
    )
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    progress.losses.append(loss)
    progress.seconds += time.monotonic() - began


def _rows_a_pass(run: TrainingRun) -> int:
    """Rows in one forward pass; one on a CPU, where several are no faster and need memory for activations."""
    return 1 if run.network.device.type == "cpu" else run.recipe.rows_a_pass


def _validate(run: TrainingRun, progress: TrainingProgress, number: int) -> None:
    """Records the validation loss; saves the adapter if it is the best, stops after `patience` worse ones."""
    if not run.validation:
        return
    validation = validated(run.network, run.validation, _rows_a_pass(run))
    progress.validations.append({"step": number, **validation})
    shown = ", ".join(
        f"{kind} {kind_losses['loss']:.3f} ({kind_losses['right']:.1%} right)"
        for kind, kind_losses in validation["kinds"].items()
    )
    run.say(f"validation at step {number:,}: loss {validation['loss']:.4f}; {shown}")
    if validation["loss"] < progress.best_loss:
        progress.best_loss, progress.worse_in_a_row = validation["loss"], 0
        run.keep_best()
        return
    progress.worse_in_a_row += 1
    if run.recipe.patience and progress.worse_in_a_row >= run.recipe.patience:
        progress.is_stopped = True
        run.say(f"stopped: no improvement for {progress.worse_in_a_row} validations")


def validated(network: Any, rows: Sequence[Row], rows_a_pass: int = 1) -> dict[str, Any]:
    """The mean loss of all targets, and by kind the mean loss and the share of right positions."""
    by_kind: dict[str, list[TargetLoss]] = defaultdict(list)
    with torch.no_grad(), _without_dropout(network):
        for side_by_side in row_groups(rows, rows_a_pass):
            for target_loss in target_losses(network, side_by_side):
                by_kind[target_loss.kind].append(target_loss)
    everything = [target_loss for losses_of_kind in by_kind.values() for target_loss in losses_of_kind]
    return {
        "loss": _mean_loss(everything),
        "kinds": {
            kind: {
                "loss": _mean_loss(losses_of_kind),
                "right": sum(int(target_loss.right) for target_loss in losses_of_kind)
                / sum(target_loss.num_positions for target_loss in losses_of_kind),
            }
            for kind, losses_of_kind in by_kind.items()
        },
    }


@contextmanager
def _without_dropout(network: Any) -> Iterator[None]:
    """Switches off dropout only.

    `network.eval()` would make bitsandbytes (0.50) repack 4-bit weights on a CPU for inference, permanently
    and without gradients: the loss rose after the first validation.
    """
    dropouts = [dropout for dropout in network.modules() if isinstance(dropout, torch.nn.Dropout)]
    for dropout in dropouts:
        dropout.eval()
    yield
    for dropout in dropouts:
        dropout.train()


def _mean_loss(losses: Sequence[TargetLoss]) -> float:
    return sum(float(target_loss.loss) for target_loss in losses) / len(losses)


def _report_progress(
    run: TrainingRun, progress: TrainingProgress, number: int, total: int, steps_an_epoch: int
) -> None:
    if number % 10 and number != total and number > 3:
        return
    recent = progress.losses[-20:]
    seconds_left = progress.seconds / len(progress.losses) * (total - number)
    pace = progress.tokens / max(progress.seconds, 1e-9)
    run.say(
        f"step {number:,} of {total:,} · epoch {number / steps_an_epoch:.1f}"
        f" · loss {sum(recent) / len(recent):.4f} · {pace:,.0f} tokens/s · {_duration(seconds_left)} left"
    )


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"
