"""Adapter card and metadata: how an adapter was trained, for people, and its tasks, for the worker."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.finetune.training_loop import TrainingProgress
from training.finetune.training_recipe import TrainingRecipe
from worker.weights.lexicon import LEXICON_FILE as LEXICON


def write_served(folder: Path, tasks: Sequence[str], labels: Sequence[str], start: Path | None) -> None:
    """Writes `notemill.json` with the tasks and labels of the adapter, those of its start included.

    The ranking model and the lexicon are copied from the start; `train join` and `train lexicon` make new
    ones.
    """
    if start is not None and (start / LEXICON).is_file():
        shutil.copyfile(start / LEXICON, folder / LEXICON)
    begun = start / "notemill.json" if start is not None else None
    served: dict[str, Any] = json.loads(begun.read_text("utf-8")) if begun and begun.is_file() else {}
    served["tasks"] = sorted({*served.get("tasks", ()), *tasks})
    if "entities" in tasks:
        served |= {"entities_form": "marks", "labels": list(labels)}
    (folder / "notemill.json").write_text(json.dumps(served, indent=1), "utf-8")


def write_record(
    folder: Path, recipe: TrainingRecipe, facts: Mapping[str, Any], progress: TrainingProgress
) -> None:
    """Writes recipe.yaml, training.json with every loss, and the card README.md."""
    (folder / "recipe.yaml").write_text(recipe.as_yaml(), "utf-8")
    record = {
        **facts,
        "recipe_sha256": recipe.sha256,
        "losses": progress.losses,
        "validations": progress.validations,
    }
    (folder / "training.json").write_text(json.dumps(record, indent=1), "utf-8")
    (folder / "README.md").write_text(_card(recipe, facts, progress), "utf-8")


def _card(recipe: TrainingRecipe, facts: Mapping[str, Any], progress: TrainingProgress) -> str:
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in facts["pieces"].items())
    best = min((validation["loss"] for validation in progress.validations), default=None)
    last = progress.validations[-1]["kinds"] if progress.validations else {}
    return f"""---
base_model: {facts["weights"]}
library_name: peft
---
# A notemill adapter for {facts["weights"]}

LoRA of rank {recipe.rank} on every linear layer, {len(progress.losses):,} steps, {progress.tokens:,} tokens,
{progress.seconds / 60:.0f} minutes on {facts["device"]}, optimizer {facts["optimizer"]}, frozen weights as
{recipe.frozen}. `recipe.yaml` is the whole recipe, `training.json` every loss, `curve.png` their curve.

**Trained on** a prepared folder with sha256 `{facts["data_sha256"]}`: {kinds}. Frozen weights: sha256
`{facts["weights_sha256"]}`.

**Validated** on the validation records: {"none" if best is None else f"best loss {best:.4f}"}.
{_validated(last)}
These metrics are of single decisions and tokens. To measure whole answers, run `notemill train evaluate` on
notes that were not trained on.

**Not for** decisions about a patient without a person who reads the note.
"""


def _validated(kinds: Mapping[str, Any]) -> str:
    return "\n".join(
        f"- {kind}: loss {metrics['loss']:.4f}, {metrics['right']:.1%} of positions right"
        for kind, metrics in kinds.items()
    )
