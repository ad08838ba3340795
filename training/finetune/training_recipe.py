"""Training recipe: the settings of a run besides data and weights, a YAML file; unknown names are errors."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import UsageError

FOLDER = Path(__file__).parents[1] / "recipes"
DEFAULTS = {"mistral-7b": "mistral-7b-8gb", "smollm2-135m": "smollm2-135m-cpu"}
"""The default recipe by weights."""


class RecipeError(UsageError):
    """A recipe cannot be used."""


class TrainingRecipe(BaseModel):
    """The settings of one run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    frozen: Literal["nf4", "nf4_in_bf16", "bf16"] = "nf4"
    """How the frozen weights are held. `nf4`: 4 bits, double quantization, bf16 arithmetic (QLoRA);
    `nf4_in_bf16`: the same values in two bytes each, which a CPU reads faster; `bf16`: as stored."""
    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    optimizer: Literal["paged_adamw_8bit", "adamw"] = "paged_adamw_8bit"
    """Paged 8-bit AdamW of bitsandbytes needs CUDA; without it AdamW is taken, and recorded."""
    learning_rate: float = Field(default=2e-4, gt=0)
    warmup_steps: int = Field(default=20, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    max_gradient_norm: float = Field(default=1.0, gt=0)
    has_gradient_checkpointing: bool = True
    row_tokens: int = Field(default=2_048, ge=64)
    """Examples are packed into rows of at most so many tokens; a longer example is left out, and counted."""
    rows_a_step: int = Field(default=8, ge=1)
    """Rows whose gradients are added up before a step."""
    rows_a_pass: int = Field(default=1, ge=1)
    """Of a step's rows, how many a GPU reads side by side, which fills a large one; the same losses."""
    window_characters: int = Field(default=1_300, ge=100)
    """How notes are cut for entities and search: about 320 tokens."""
    shares: dict[str, float] = Field(default_factory=dict)
    """By kind of example, the part that one epoch draws of it; a kind that is not named: all of it."""
    epochs: int = Field(default=20, ge=1)
    max_steps: int | None = Field(default=None, ge=1)
    """Steps after which to end even before the last epoch."""
    patience: int = Field(default=3, ge=0)
    """Validations in a row without a better loss after which to stop; 0: never."""
    validate_every_steps: int = Field(default=50, ge=1)
    validation_rows: int = Field(default=64, ge=1)
    checkpoint_every_steps: int = Field(default=25, ge=1)
    seed: int = 1

    @property
    def sha256(self) -> str:
        """Digest of all settings."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()

    def as_yaml(self) -> str:
        """Every setting, given or default."""
        return yaml.safe_dump(self.model_dump(), sort_keys=False)


def load_recipe(name: str | None, weights: str, **changes: Any) -> TrainingRecipe:
    """A built-in recipe by name, one's own by path, or the weights' own; `changes` that are not None win.

    Raises RecipeError, naming what is wrong and what there is.
    """
    chosen = name or DEFAULTS.get(weights) or DEFAULTS["mistral-7b"]
    path = Path(chosen) if chosen.endswith((".yaml", ".yml")) else FOLDER / f"{chosen}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(one.stem for one in FOLDER.glob("*.yaml")))
        raise RecipeError(f"no recipe {chosen}: one of {known}, or the path of a .yaml file")
    try:
        values = yaml.safe_load(path.read_text("utf-8")) or {}
        given = {key: value for key, value in changes.items() if value is not None}
        return TrainingRecipe(**(values | given))
    except (yaml.YAMLError, TypeError) as error:
        raise RecipeError(f"{path} is no recipe: {type(error).__name__}; {FOLDER} holds examples") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise RecipeError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
