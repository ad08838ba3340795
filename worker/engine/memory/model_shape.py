"""Model shape: the dimensions of a network from its config.json, as far as memory depends on them.

Does not import torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import NotemillError

MISTRAL_7B = {
    "model_type": "mistral",
    "vocab_size": 32_768,
    "hidden_size": 4_096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 32_768,
    "sliding_window": None,
    "tie_word_embeddings": False,
}
"""Relevant part of the config.json of mistralai/Mistral-7B-Instruct-v0.3."""
SMOLLM2_135M = {
    "model_type": "llama",
    "vocab_size": 49_152,
    "hidden_size": 576,
    "intermediate_size": 1_536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8_192,
    "tie_word_embeddings": True,
}
"""Relevant part of the config.json of HuggingFaceTB/SmolLM2-135M-Instruct."""
CONFIGS: Mapping[str, Mapping[str, Any]] = {"mistral-7b": MISTRAL_7B, "smollm2-135m": SMOLLM2_135M}
"""Configurations of named weights that are not on this machine."""


class UnknownShapeError(NotemillError):
    """The config.json of the weights lacks dimensions of the network."""


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Dimensions of a Llama or Mistral decoder: four attention and three MLP matrices a layer."""

    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_value_heads: int
    head_size: int
    context_tokens: int
    """Longest sequence; with sliding-window attention the width of the window, within which attention is
    plain."""
    is_tied: bool
    """True if the output layer shares the weights of the embeddings."""
    has_attention_bias: bool = False

    @staticmethod
    def of(config: Mapping[str, Any]) -> ModelShape:
        """The shape from the values of a config.json. Raises UnknownShapeError, naming the missing keys."""
        missing = [name for name in _NEEDED if not isinstance(config.get(name), int)]
        if missing:
            raise UnknownShapeError(f"the weights' config.json lacks {', '.join(missing)}")
        heads = int(config["num_attention_heads"])
        return ModelShape(
            vocabulary=int(config["vocab_size"]),
            hidden=int(config["hidden_size"]),
            intermediate=int(config["intermediate_size"]),
            layers=int(config["num_hidden_layers"]),
            heads=heads,
            key_value_heads=int(config.get("num_key_value_heads") or heads),
            head_size=int(config.get("head_dim") or config["hidden_size"] // heads),
            context_tokens=int(config.get("sliding_window") or config["max_position_embeddings"]),
            is_tied=bool(config.get("tie_word_embeddings", False)),
            has_attention_bias=bool(config.get("attention_bias", False)),
        )

    @property
    def linear_layers(self) -> tuple[tuple[int, int], ...]:
        """(inputs, outputs) of the matrices of one layer: q, k, v, o, gate, up, down."""
        query, key = self.heads * self.head_size, self.key_value_heads * self.head_size
        attention = ((self.hidden, query), (self.hidden, key), (self.hidden, key), (query, self.hidden))
        up = (self.hidden, self.intermediate)
        return (*attention, up, up, (self.intermediate, self.hidden))

    @property
    def values_beside(self) -> int:
        """Number of values that are never quantized: embeddings, output layer, norms, biases."""
        query, key = self.heads * self.head_size, self.key_value_heads * self.head_size
        biases = self.layers * (query + 2 * key + self.hidden) if self.has_attention_bias else 0
        tables = self.vocabulary * self.hidden * (1 if self.is_tied else 2)
        return tables + (2 * self.layers + 1) * self.hidden + biases


def shape_of_folder(folder: Path) -> ModelShape:
    """The shape of prepared weights. Raises UnknownShapeError."""
    return ModelShape.of(json.loads((folder / "config.json").read_text("utf-8")))


_NEEDED = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
)
