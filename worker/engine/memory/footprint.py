"""Bytes of each thing that a network takes in memory: weights, adapter, a cached token, a step.

Arithmetic on a shape; no torch. `benchmarks.memory` holds it against weights that bitsandbytes really
quantized and against the allocations of a traced pass.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from worker.engine.batching.sequences import MAX_DRAFT_TOKENS
from worker.engine.memory.model_shape import ModelShape

BF16 = 2
FP32 = 4
QUERY_BLOCK = 128
"""Queries in one product of attention."""
MAX_GRAPH_TOKENS = 256
"""Tokens of a step that is recorded for a GPU."""
GRAPHS_BYTES = 280 * 2**20
"""Kernels by the thousand with their places, and workspaces: of all sizes with and without an adapter, on an
H200, whose workspaces are four times those of a consumer's card (docs/results/performance.md)."""
KEY_BLOCK = 32
"""In one block of attention on a CPU: 375 keys take up to 1.7 times what 384 take (docs/results/performance.md)."""
_OUTER_FIRST = 1
_OUTER_LAST = 2
"""Rounding what these layers multiply with down is off by 0.02 to 0.04 of what they hand on, others by 0.01
(docs/decisions/int8-with-merged-adapter.md)."""


def rounded_up(number: int, step: int) -> int:
    """The next multiple of `step`."""
    return -(-number // step) * step


@dataclass(frozen=True, slots=True)
class AdapterSize:
    """A LoRA adapter beside the weights: in and out matrices of rank r a layer (arXiv 2106.09685)."""

    parameters: int
    bytes_each: int = BF16
    """As it is served; where it is trained peft holds it in fp32."""

    @property
    def total_bytes(self) -> int:
        return self.parameters * self.bytes_each

    @staticmethod
    def of_rank(rank: int, shape: ModelShape) -> AdapterSize:
        """On all linear layers: rank x (inputs + outputs) values each."""
        return AdapterSize(rank * shape.layers * sum(sum(sizes) for sizes in shape.linear_layers))

    @staticmethod
    def of_folder(folder: Path) -> AdapterSize:
        """Counted in the header of its safetensors file: 8 bytes of length, then JSON."""
        with (folder / "adapter_model.safetensors").open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        shapes = [one["shape"] for name, one in header.items() if name != "__metadata__"]
        return AdapterSize(sum(math.prod(shape) for shape in shapes))


def bf16_bytes(shape: ModelShape) -> int:
    """Every weight in two bytes."""
    matrices = sum(inputs * outputs for inputs, outputs in shape.linear_layers)
    return BF16 * (shape.layers * matrices + shape.values_beside)


def int8_bytes(shape: ModelShape) -> int:
    """As `worker.engine.network.int8_layers` holds them: a byte a weight, a scale an output; the rest in bf16."""
    *others, down = (inputs * outputs + FP32 * outputs for inputs, outputs in shape.linear_layers)
    num_outer = sum(is_outer_layer(number, shape.layers) for number in range(shape.layers))
    downs = (shape.layers - num_outer) * down + num_outer * BF16 * math.prod(shape.linear_layers[-1])
    return shape.layers * sum(others) + downs + BF16 * shape.values_beside


def is_outer_layer(number: int, num_layers: int) -> bool:
    """Whether a layer is one of those whose down stays in bf16 where all else is in 8 bits."""
    return number < _OUTER_FIRST or number >= num_layers - _OUTER_LAST


def nf4_bytes(shape: ModelShape) -> int:
    """Linear layers as bitsandbytes stores them; embeddings, output layer and norms stay in bf16.

    transformers leaves the output layer and whatever is tied to it unquantized (`get_keys_to_not_convert`).
    """
    layer = sum(nf4_matrix_bytes(inputs * outputs) for inputs, outputs in shape.linear_layers)
    return shape.layers * layer + BF16 * shape.values_beside


def nf4_matrix_bytes(values: int) -> int:
    """A matrix in 4-bit NormalFloat with double quantization (QLoRA, arXiv 2305.14314, section 3).

    Two values a byte; a scale for each block of 64, itself in 8 bits; a second scale in fp32 for each
    256 of those and their mean in fp32. With each matrix come its tables: 16 and 256 values in fp32
    (bitsandbytes.functional.QuantState). In all 0.5159 bytes a value.
    """
    blocks = -(-values // 64)
    second_blocks = -(-blocks // 256)
    return -(-values // 2) + blocks + FP32 * (second_blocks + 1 + 16 + 256)


def keys_values_bytes(shape: ModelShape) -> int:
    """A cached token's, all layers, bf16: Mistral 7B 131,072; SmolLM2-135M 23,040."""
    return 2 * shape.layers * shape.key_value_heads * shape.head_size * BF16


def layer_keys_values_bytes(shape: ModelShape) -> int:
    """For each token that a step's row can look at: its key and value of one layer once more, beginning and
    own put together. It is all that a fused kernel needs of it."""
    return BF16 * 2 * shape.key_value_heads * shape.head_size


def attention_bytes(shape: ModelShape, step_tokens: int) -> int:
    """The same where attention is computed by blocks (`worker.engine.attention.packed_attention`): scores and their softmax for a
    block of queries and all heads as well, in bf16."""
    queries = min(QUERY_BLOCK, step_tokens)
    return BF16 * 2 * queries * shape.heads + layer_keys_values_bytes(shape)


def cuda_graph_bytes(shape: ModelShape, *, is_quantized: bool) -> int:
    """What the recorded steps of a GPU keep (`worker.engine.attention.cuda_graphs`): memory of their own for the largest of them, a
    matrix unpacked in it, and the recordings."""
    unpacked = largest_matrix_bytes(shape) if is_quantized else 0
    return activation_bytes(shape, MAX_GRAPH_TOKENS, rows=0) + unpacked + GRAPHS_BYTES


def activation_bytes(shape: ModelShape, step_tokens: int, *, rows: int) -> int:
    """The most that a pass over so many tokens holds at once: in an MLP, where its three products live.

    (In attention it would be where heads together are wider than the MLP, as in no network we know.)

    Four hidden states (embeddings, the layer's input, residual, normed), three of the MLP's width, rotary
    tables; and for each of `rows`, the branches that write, the output layer's logits of a sure token and of
    all its guesses, in bf16 and fp32. A traced pass of transformers 5.23 through layers of Mistral 7B's size
    held just that (`benchmarks.memory`).
    """
    layer = step_tokens * BF16 * (4 * shape.hidden + 3 * shape.intermediate + 2 * shape.head_size)
    return layer + rows * (1 + MAX_DRAFT_TOKENS) * shape.vocabulary * (BF16 + FP32)


def largest_matrix_bytes(shape: ModelShape) -> int:
    """A 4-bit matrix is unpacked to bf16 as a whole for large steps; one at a time."""
    return BF16 * max(inputs * outputs for inputs, outputs in shape.linear_layers)
