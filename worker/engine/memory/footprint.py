"""Bytes that a network takes in memory: weights, adapter, a cached token, a forward pass.

Arithmetic on a model shape; does not import torch. `benchmarks.memory` compares it with weights quantized by
bitsandbytes and with the allocations of a traced pass.
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
"""Queries in one matrix product of attention on a CPU."""
MAX_GRAPH_TOKENS = 256
"""Tokens of the largest batch that is recorded as a CUDA graph."""
GRAPHS_BYTES = 280 * 2**20
"""CUDA graphs of all sizes, with and without an adapter: kernel nodes by the thousand and workspaces, on an
H200, whose workspaces are four times those of a consumer card (docs/results/performance.md)."""
KEY_BLOCK = 32
"""Keys in one block of attention on a CPU: 375 keys take up to 1.7 times as long as 384
(docs/results/performance.md)."""
_FIRST_OUTER_LAYERS = 1
_LAST_OUTER_LAYERS = 2
"""The down projections of these layers stay in bf16: int8 inputs change the output of the layer by 2 to 4 %,
and by 1 % in the other layers (docs/decisions/int8-with-merged-adapter.md)."""


def rounded_up(number: int, step: int) -> int:
    """The smallest multiple of `step` that is at least `number`."""
    return -(-number // step) * step


@dataclass(frozen=True, slots=True)
class AdapterSize:
    """Size of a LoRA adapter beside the weights: two matrices of rank r a linear layer (arXiv 2106.09685)."""

    parameters: int
    bytes_each: int = BF16
    """Bytes of one parameter when served; peft trains it in fp32."""

    @property
    def total_bytes(self) -> int:
        return self.parameters * self.bytes_each

    @staticmethod
    def of_rank(rank: int, shape: ModelShape) -> AdapterSize:
        """An adapter on all linear layers: rank x (inputs + outputs) values each."""
        return AdapterSize(rank * shape.layers * sum(sum(sizes) for sizes in shape.linear_layers))

    @staticmethod
    def of_folder(folder: Path) -> AdapterSize:
        """Counts the values in the header of the safetensors file: 8 bytes of length, then JSON."""
        with (folder / "adapter_model.safetensors").open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        shapes = [tensor["shape"] for name, tensor in header.items() if name != "__metadata__"]
        return AdapterSize(sum(math.prod(shape) for shape in shapes))


def bf16_bytes(shape: ModelShape) -> int:
    """The weights in bf16, two bytes a value."""
    matrices = sum(inputs * outputs for inputs, outputs in shape.linear_layers)
    return BF16 * (shape.layers * matrices + shape.values_beside)


def int8_bytes(shape: ModelShape) -> int:
    """The weights as `worker.engine.network.int8_layers` holds them: one byte a weight and a scale an output
    of linear layers, bf16 for the rest."""
    *others, down = (inputs * outputs + FP32 * outputs for inputs, outputs in shape.linear_layers)
    num_outer = sum(is_outer_layer(number, shape.layers) for number in range(shape.layers))
    down_bytes = (shape.layers - num_outer) * down + num_outer * BF16 * math.prod(shape.linear_layers[-1])
    return shape.layers * sum(others) + down_bytes + BF16 * shape.values_beside


def is_outer_layer(number: int, num_layers: int) -> bool:
    """True if the down projection of layer `number` stays in bf16 when the others are int8."""
    return number < _FIRST_OUTER_LAYERS or number >= num_layers - _LAST_OUTER_LAYERS


def nf4_bytes(shape: ModelShape) -> int:
    """Linear layers in NF4 as bitsandbytes stores them; embeddings, output layer and norms in bf16.

    transformers does not quantize the output layer and what is tied to it (`get_keys_to_not_convert`).
    """
    layer = sum(nf4_matrix_bytes(inputs * outputs) for inputs, outputs in shape.linear_layers)
    return shape.layers * layer + BF16 * shape.values_beside


def nf4_matrix_bytes(values: int) -> int:
    """A matrix in 4-bit NormalFloat with double quantization (QLoRA, arXiv 2305.14314, section 3).

    Two values a byte; an 8-bit scale for each block of 64; a second scale in fp32 for each 256 of these, and
    their mean in fp32. Each matrix has its tables of 16 and 256 values in fp32
    (bitsandbytes.functional.QuantState). In total 0.5159 bytes a value.
    """
    blocks = -(-values // 64)
    second_blocks = -(-blocks // 256)
    return -(-values // 2) + blocks + FP32 * (second_blocks + 1 + 16 + 256)


def keys_values_bytes(shape: ModelShape) -> int:
    """Keys and values of one token in all layers, bf16: Mistral 7B 131,072 bytes; SmolLM2-135M 23,040."""
    return 2 * shape.layers * shape.key_value_heads * shape.head_size * BF16


def layer_keys_values_bytes(shape: ModelShape) -> int:
    """Key and value of one token in one layer: attention concatenates those of prefix and own tokens. A fused
    kernel needs nothing else for each token that a row attends to."""
    return BF16 * 2 * shape.key_value_heads * shape.head_size


def attention_bytes(shape: ModelShape, step_tokens: int) -> int:
    """Bytes a token when attention is computed by blocks (`worker.engine.attention.packed_attention`): key
    and value, and in bf16 scores and softmax of a block of queries for all heads."""
    queries = min(QUERY_BLOCK, step_tokens)
    return BF16 * 2 * queries * shape.heads + layer_keys_values_bytes(shape)


def cuda_graph_bytes(shape: ModelShape, *, is_quantized: bool) -> int:
    """Memory that CUDA graphs keep (`worker.engine.attention.cuda_graphs`): activations of the largest batch,
    one dequantized matrix, and the graphs themselves."""
    unpacked = largest_matrix_bytes(shape) if is_quantized else 0
    return activation_bytes(shape, MAX_GRAPH_TOKENS, rows=0) + unpacked + GRAPHS_BYTES


def activation_bytes(shape: ModelShape, step_tokens: int, *, rows: int) -> int:
    """Peak memory of a forward pass over `step_tokens` tokens, reached in the MLP.

    Four hidden states (embeddings, the layer's input, residual, normalised), three tensors of the MLP's width
    and rotary tables; for each of `rows`, the continuations that generate, the logits of one verified token
    and of all draft tokens in bf16 and fp32. A traced pass of transformers 5.23 through layers of Mistral
    7B's size agrees (`benchmarks.memory`). Attention would take more only if all heads together were wider
    than the MLP.
    """
    layer = step_tokens * BF16 * (4 * shape.hidden + 3 * shape.intermediate + 2 * shape.head_size)
    return layer + rows * (1 + MAX_DRAFT_TOKENS) * shape.vocabulary * (BF16 + FP32)


def largest_matrix_bytes(shape: ModelShape) -> int:
    """The largest matrix in bf16: for large batches 4-bit matrices are dequantized one at a time."""
    return BF16 * max(inputs * outputs for inputs, outputs in shape.linear_layers)
