"""Training recipe: a YAML file with the settings of a run, less data and weights; unknown ones are errors."""

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
    """The recipe cannot be used."""


class TrainingRecipe(BaseModel):
    """The settings of one run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    frozen: Literal["nf4", "nf4_in_bf16", "bf16"] = "nf4"
    """Format of the frozen weights. `nf4`: 4 bits, double quantization, bf16 arithmetic (QLoRA);
    `nf4_in_bf16`: the same values expanded to bf16, which is faster on a CPU; `bf16`: as stored."""
    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    optimizer: Literal["paged_adamw_8bit", "adamw"] = "paged_adamw_8bit"
    """Paged 8-bit AdamW of bitsandbytes needs CUDA; without CUDA, AdamW is used and recorded."""
    learning_rate: float = Field(default=2e-4, gt=0)
    warmup_steps: int = Field(default=20, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    max_gradient_norm: float = Field(default=1.0, gt=0)
    has_gradient_checkpointing: bool = True
    row_tokens: int = Field(default=2_048, ge=64)
    """Largest number of tokens of a packed row; a longer example is left out, and counted."""
    rows_a_step: int = Field(default=8, ge=1)
    """Rows of an optimizer step; their gradients are accumulated."""
    rows_a_pass: int = Field(default=1, ge=1)
    """Rows in one forward pass on a GPU; more make a large GPU faster. The losses stay the same."""
    window_characters: int = Field(default=1_300, ge=100)
    """Size of the windows of notes for entities and search; 1,300 characters are about 320 tokens."""
    shares: dict[str, float] = Field(default_factory=dict)
    """Share of the examples that an epoch draws, by kind; the default is 1, but 0 for `lists`."""
    epochs: int = Field(default=20, ge=1)
    max_steps: int | None = Field(default=None, ge=1)
    """Largest number of steps, even if the last epoch is not reached."""
    patience: int = Field(default=3, ge=0)
    """Training stops after this number of validations in a row without a better loss; 0: never."""
    validate_every_steps: int = Field(default=50, ge=1)
    validation_rows: int = Field(default=64, ge=1)
    checkpoint_every_steps: int = Field(default=25, ge=1)
    seed: int = 1

    @property
    def sha256(self) -> str:
        """Digest of all settings."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()

    def as_yaml(self) -> str:
        """All settings as YAML, defaults included."""
        return yaml.safe_dump(self.model_dump(), sort_keys=False)


def load_recipe(name: str | None, weights: str, **changes: Any) -> TrainingRecipe:
    """A built-in recipe by name, a recipe file by path, or the default of the weights.

    `changes` override settings unless they are None. Raises RecipeError.
    """
    recipe_name = name or DEFAULTS.get(weights) or DEFAULTS["mistral-7b"]
    path = Path(recipe_name) if recipe_name.endswith((".yaml", ".yml")) else FOLDER / f"{recipe_name}.yaml"
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in FOLDER.glob("*.yaml")))
        raise RecipeError(f"no recipe {recipe_name}: one of {names}, or the path of a .yaml file")
    try:
        values = yaml.safe_load(path.read_text("utf-8")) or {}
        given = {key: value for key, value in changes.items() if value is not None}
        return TrainingRecipe(**(values | given))
    except (yaml.YAMLError, TypeError) as error:
        raise RecipeError(f"{path} is no recipe: {type(error).__name__}; {FOLDER} holds examples") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise RecipeError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
