"""Memory plan of training: the bytes that a recipe needs on a GPU, with worker.engine.memory.footprint.

Does not import torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from training.finetune.training_recipe import TrainingRecipe
from worker.engine.memory.footprint import (
    BF16,
    FP32,
    AdapterSize,
    activation_bytes,
    bf16_bytes,
    largest_matrix_bytes,
    nf4_bytes,
)
from worker.engine.memory.memory_plan import CPU_PROCESS_BYTES, CUDA_CONTEXT_BYTES, GIB, SLACK_SHARE
from worker.engine.memory.model_shape import ModelShape

HEAD_TOKENS = 256
"""Same as in training.finetune.losses: number of tokens whose logits are in memory at the same time."""
_BACKWARD_COPIES = 3
"""Copies of a recomputed layer's activations in the backward pass: its outputs, their inputs' copies in the
adapters, and the gradients."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """The bytes of each part, with one row in a forward pass."""

    parts: dict[str, int]
    budget_bytes: int

    @property
    def needed_bytes(self) -> int:
        return sum(self.parts.values())

    @property
    def fits(self) -> bool:
        return self.needed_bytes <= self.budget_bytes


def plan_training(
    shape: ModelShape, recipe: TrainingRecipe, *, budget_bytes: int, is_cuda: bool
) -> TrainingPlan:
    """The memory plan; a layer keeps one bf16 hidden state with gradient checkpointing, else activations."""
    tokens = recipe.row_tokens
    adapter = replace(AdapterSize.of_rank(recipe.rank, shape), bytes_each=FP32)
    layer = activation_bytes(shape, tokens, rows=0) + _adapter_step_bytes(shape, adapter, tokens)
    kept = BF16 * tokens * shape.hidden if recipe.has_gradient_checkpointing else layer
    is_8bit = recipe.optimizer == "paged_adamw_8bit" and is_cuda
    parts = {
        "frozen weights": nf4_bytes(shape) if recipe.frozen == "nf4" else bf16_bytes(shape),
        "adapter and its gradients, fp32": 2 * FP32 * adapter.parameters,
        # Two states a value; in 8 bits with a scale of 4 bytes for each 256 (bitsandbytes).
        "optimizer": int(adapter.parameters * (2 * (1 + FP32 / 256) if is_8bit else 2 * FP32)),
        f"kept of {shape.layers} layers, {tokens:,} tokens": shape.layers * kept,
        "one layer, there and back": _BACKWARD_COPIES * layer,
        "a 4-bit matrix, unpacked": largest_matrix_bytes(shape) if recipe.frozen == "nf4" else 0,
        f"logits of {HEAD_TOKENS} tokens": HEAD_TOKENS * shape.vocabulary * (BF16 + 3 * FP32),
        "CUDA context" if is_cuda else "process": CUDA_CONTEXT_BYTES if is_cuda else CPU_PROCESS_BYTES,
        "slack of the allocator": int(budget_bytes * SLACK_SHARE),
    }
    return TrainingPlan({name: size for name, size in parts.items() if size}, budget_bytes)


def gib(size: float) -> str:
    """A size such as '3.85'."""
    return f"{size / GIB:.2f}"


def _adapter_step_bytes(shape: ModelShape, adapter: AdapterSize, step_tokens: int) -> int:
    """Input cast to the adapter's dtype, output, and that scaled, at the widest matrix."""
    return step_tokens * adapter.bytes_each * (shape.hidden + 2 * shape.intermediate)
