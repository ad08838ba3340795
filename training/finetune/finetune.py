"""Fine-tuning: from a prepared folder and a training recipe to an adapter with its card."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models.errors import UsageError
from models.labels import Label
from models.security.training_provenance import read_trained_on, write_trained_on
from models.settings import Settings
from training.data.prepared_folder import read_prepared
from training.data.provenance_digests import digests_of
from training.examples.row_packing import rows_of
from training.examples.training_sequences import TrainingSequence
from training.finetune.adapter_card import write_record, write_served
from training.finetune.checkpoints import Checkpoints, OtherRunError
from training.finetune.curriculum import Curriculum
from training.finetune.curves import draw_curve
from training.finetune.lora_model import optimizer_of, save_adapter, trainable
from training.finetune.training_loop import TrainingProgress, TrainingRun, train
from training.finetune.training_recipe import TrainingRecipe
from worker.engine.prompting.tokenizer import load_chat
from worker.weights.model_files import prepared_folder, weights_sha256


@dataclass(frozen=True, kw_only=True)
class FinetuneJob:
    """What is trained, on which data, and where to."""

    data: Path
    output: Path
    recipe: TrainingRecipe
    settings: Settings
    labels: tuple[Label, ...]
    start: Path | None = None
    """An adapter to continue from."""
    is_restarting: bool = False
    stop_after_steps: int | None = None


def finetune(asked: FinetuneJob, say: Callable[[str], None]) -> dict[str, Any]:
    """Writes the adapter's folder; returns its metadata. Raises NotemillError."""
    data = read_prepared(asked.data)
    chat = load_chat(asked.settings)
    curriculum = Curriculum(data.train, asked.labels, chat, asked.recipe)
    held_back = Curriculum(data.validation, asked.labels, chat, asked.recipe)
    pieces = _checked(curriculum.epoch(1), asked.recipe)
    facts = _facts(asked, data.sha256, pieces, curriculum)
    checkpoints = _checkpoints(asked, facts)
    # Before the first step: a run that is killed leaves checkpoints that have seen the notes.
    before = read_trained_on(asked.start) if asked.start else frozenset()
    write_trained_on(asked.output, before | digests_of([*data.train, *data.validation]))
    say(
        f"{sum(facts['pieces'].values()):,} examples of {sum(len(one.tokens) for one in pieces):,} tokens"
        f" an epoch; left out: {facts['left_out'] or 'none'}"
    )
    device = torch.device(facts["device"])
    network = trainable(prepared_folder(asked.settings), asked.recipe, device, asked.start)
    optimizer, facts["optimizer"] = optimizer_of(network, asked.recipe)
    best = asked.output / "checkpoints" / "best"
    progress = train(
        TrainingRun(
            network=network,
            optimizer=optimizer,
            recipe=asked.recipe,
            epoch=curriculum.epoch,
            validation=rows_of(held_back.epoch(0), asked.recipe.row_tokens)[: asked.recipe.validation_rows],
            checkpoints=checkpoints,
            keep_best=lambda: save_adapter(network, best),
            say=say,
            stop_after_steps=asked.stop_after_steps,
        )
    )
    return _finish(asked, network, curriculum, facts, progress)


def _finish(
    asked: FinetuneJob,
    network: Any,
    curriculum: Curriculum,
    facts: dict[str, Any],
    progress: TrainingProgress,
) -> dict[str, Any]:
    """Saves the best adapter where there were validations, otherwise the last, with its metadata."""
    best = asked.output / "checkpoints" / "best"
    if best.is_dir():
        for name in ("adapter_model.safetensors", "adapter_config.json"):
            shutil.copyfile(best / name, asked.output / name)
    else:
        save_adapter(network, asked.output)
    write_served(asked.output, curriculum.tasks, [label.name for label in asked.labels], asked.start)
    write_record(asked.output, asked.recipe, facts, progress)
    draw_curve(asked.output / "curve.png", progress.losses, progress.validations)
    return facts | {
        "steps": len(progress.losses),
        "first_losses": [round(loss, 6) for loss in progress.losses[:5]],
        "last_loss": progress.losses[-1],
        "best_validation_loss": min((one["loss"] for one in progress.validations), default=None),
        "is_stopped_early": progress.is_stopped,
        "seconds": round(progress.seconds, 1),
        "output": str(asked.output),
    }


def _facts(
    asked: FinetuneJob, data_sha256: str, pieces: Sequence[TrainingSequence], curriculum: Curriculum
) -> dict[str, Any]:
    is_cuda = asked.settings.device != "cpu" and torch.cuda.is_available()
    fitting = [one for one in pieces if len(one.tokens) <= asked.recipe.row_tokens]
    too_long = Counter({"longer than a row": len(pieces) - len(fitting)})
    return {
        "weights": asked.settings.weights,
        "weights_sha256": weights_sha256(asked.settings),
        "data_sha256": data_sha256,
        "labels": [label.name for label in asked.labels],
        "pieces": dict(Counter(one.kind for one in fitting)),
        "left_out": {reason: count for reason, count in (curriculum.refused + too_long).items() if count},
        "device": "cuda" if is_cuda else "cpu",
    }


def _checked(pieces: list[TrainingSequence], recipe: TrainingRecipe) -> list[TrainingSequence]:
    if any(len(one.tokens) <= recipe.row_tokens for one in pieces):
        return pieces
    raise UsageError(
        f"none of {len(pieces):,} examples fits a row of {recipe.row_tokens:,} tokens: raise row_tokens in"
        " the recipe, or prepare other data"
    )


def _checkpoints(asked: FinetuneJob, facts: dict[str, Any]) -> Checkpoints:
    """The checkpoints of this run. Raises OtherRunError where the folder holds another run's."""
    names = ("weights_sha256", "data_sha256", "labels")
    made_of = [asked.recipe.sha256, str(asked.start), *(str(facts[name]) for name in names)]
    fingerprint = hashlib.sha256("\n".join(made_of).encode()).hexdigest()
    folder, mark = asked.output, asked.output / "run.json"
    if asked.is_restarting and mark.is_file():
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    elif mark.is_file() and json.loads(mark.read_text("utf-8"))["fingerprint"] != fingerprint:
        raise OtherRunError(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    mark.write_text(json.dumps({"fingerprint": fingerprint}), "utf-8")
    return Checkpoints(folder / "checkpoints", fingerprint)
