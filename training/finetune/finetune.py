"""Fine-tuning: trains an adapter on a prepared folder by a training recipe, and writes it with its card."""

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
from training.examples.row_packing import packed_rows
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
    """The options of `train finetune`."""

    data: Path
    output: Path
    recipe: TrainingRecipe
    settings: Settings
    labels: tuple[Label, ...]
    start: Path | None = None
    """An adapter to continue from."""
    is_restarting: bool = False
    stop_after_steps: int | None = None


def finetune(job: FinetuneJob, say: Callable[[str], None]) -> dict[str, Any]:
    """Writes the adapter's folder; returns its metadata. Raises NotemillError."""
    data = read_prepared(job.data)
    chat = load_chat(job.settings)
    curriculum = Curriculum(data.train, job.labels, chat, job.recipe)
    held_back = Curriculum(data.validation, job.labels, chat, job.recipe)
    sequences = _checked(curriculum.epoch(1), job.recipe)
    facts = _facts(job, data.sha256, sequences, curriculum)
    checkpoints = _checkpoints(job, facts)
    # Before the first step, because the checkpoints of a killed run were trained on the notes, too.
    before = read_trained_on(job.start) if job.start else frozenset()
    write_trained_on(job.output, before | digests_of([*data.train, *data.validation]))
    num_tokens = sum(len(sequence.tokens) for sequence in sequences)
    say(
        f"{sum(facts['pieces'].values()):,} examples of {num_tokens:,} tokens an epoch;"
        f" left out: {facts['left_out'] or 'none'}"
    )
    device = torch.device(facts["device"])
    network = trainable(prepared_folder(job.settings), job.recipe, device, job.start)
    optimizer, facts["optimizer"] = optimizer_of(network, job.recipe)
    best = job.output / "checkpoints" / "best"
    progress = train(
        TrainingRun(
            network=network,
            optimizer=optimizer,
            recipe=job.recipe,
            epoch=curriculum.epoch,
            validation=packed_rows(held_back.epoch(0), job.recipe.row_tokens)[: job.recipe.validation_rows],
            checkpoints=checkpoints,
            keep_best=lambda: save_adapter(network, best),
            say=say,
            stop_after_steps=job.stop_after_steps,
        )
    )
    return _finish(job, network, curriculum, facts, progress)


def _finish(
    job: FinetuneJob,
    network: Any,
    curriculum: Curriculum,
    facts: dict[str, Any],
    progress: TrainingProgress,
) -> dict[str, Any]:
    """Saves the adapter of the best validation, or without validations the last one, and its metadata."""
    best = job.output / "checkpoints" / "best"
    if best.is_dir():
        for name in ("adapter_model.safetensors", "adapter_config.json"):
            shutil.copyfile(best / name, job.output / name)
    else:
        save_adapter(network, job.output)
    write_served(job.output, curriculum.tasks, [label.name for label in job.labels], job.start)
    write_record(job.output, job.recipe, facts, progress)
    draw_curve(job.output / "curve.png", progress.losses, progress.validations)
    return facts | {
        "steps": len(progress.losses),
        "first_losses": [round(loss, 6) for loss in progress.losses[:5]],
        "last_loss": progress.losses[-1],
        "best_validation_loss": min(
            (validation["loss"] for validation in progress.validations), default=None
        ),
        "is_stopped_early": progress.is_stopped,
        "seconds": round(progress.seconds, 1),
        "output": str(job.output),
    }


def _facts(
    job: FinetuneJob, data_sha256: str, sequences: Sequence[TrainingSequence], curriculum: Curriculum
) -> dict[str, Any]:
    is_cuda = job.settings.device != "cpu" and torch.cuda.is_available()
    fitting = [sequence for sequence in sequences if len(sequence.tokens) <= job.recipe.row_tokens]
    too_long = Counter({"longer than a row": len(sequences) - len(fitting)})
    return {
        "weights": job.settings.weights,
        "weights_sha256": weights_sha256(job.settings),
        "data_sha256": data_sha256,
        "labels": [label.name for label in job.labels],
        "pieces": dict(Counter(sequence.kind for sequence in fitting)),
        "left_out": {reason: count for reason, count in (curriculum.refused + too_long).items() if count},
        "device": "cuda" if is_cuda else "cpu",
    }


def _checked(sequences: list[TrainingSequence], recipe: TrainingRecipe) -> list[TrainingSequence]:
    if any(len(sequence.tokens) <= recipe.row_tokens for sequence in sequences):
        return sequences
    raise UsageError(
        f"none of {len(sequences):,} examples fits a row of {recipe.row_tokens:,} tokens: raise row_tokens in"
        " the recipe, or prepare other data"
    )


def _checkpoints(job: FinetuneJob, facts: dict[str, Any]) -> Checkpoints:
    """The checkpoints of this run. Raises OtherRunError if the folder holds those of another run."""
    names = ("weights_sha256", "data_sha256", "labels")
    made_of = [job.recipe.sha256, str(job.start), *(str(facts[name]) for name in names)]
    fingerprint = hashlib.sha256("\n".join(made_of).encode()).hexdigest()
    folder, run_file = job.output, job.output / "run.json"
    if job.is_restarting and run_file.is_file():
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    elif run_file.is_file() and json.loads(run_file.read_text("utf-8"))["fingerprint"] != fingerprint:
        raise OtherRunError(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    run_file.write_text(json.dumps({"fingerprint": fingerprint}), "utf-8")
    return Checkpoints(folder / "checkpoints", fingerprint)
