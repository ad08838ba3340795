"""Memory plan: weights, adapter and activations, and what a budget has left for cached tokens.

Adds up the figures of `worker.engine.memory.footprint` for a GPU or a CPU. Does not import torch.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

from models.errors import NotemillError
from worker.engine.memory.footprint import (
    AdapterSize,
    activation_bytes,
    attention_bytes,
    bf16_bytes,
    cuda_graph_bytes,
    keys_values_bytes,
    largest_matrix_bytes,
    layer_keys_values_bytes,
    nf4_bytes,
)
from worker.engine.memory.model_shape import ModelShape

GIB = 2**30

CUDA_CONTEXT_BYTES = 700 * 2**20
"""Driver context, kernels of torch and bitsandbytes, cuBLAS workspace. Measured on an H100: 615 MiB at the
start, 691 after batches of every kind (docs/results/performance.md). Reports for consumer cards, which have
fewer processors to keep buffers for, say 300 to 500."""
CPU_PROCESS_BYTES = 700 * 2**20
"""Python with torch and transformers imported, before any weights, has 0.40 GiB resident; the rest is for the
buffers of threads and for grammars."""
SLACK_SHARE = 0.05
"""Share of the budget for what a caching allocator loses by rounding and fragmentation. torch rounds blocks
over 1 MiB to 2 MiB; vLLM leaves 8 to 10 % of a card free by default (`gpu_memory_utilization`), context
included."""


class DoesNotFitError(NotemillError):
    """The weights and the largest batch leave no room in the budget for the tokens of one window."""

    def __init__(self, plan: MemoryPlan, *, min_tokens: int) -> None:
        self.plan = plan
        self.min_tokens = min_tokens
        # Slack is a share of the budget, so a larger budget needs more slack.
        self.needed_bytes = int((plan.needed_bytes(min_tokens) - plan.slack_bytes) / (1 - SLACK_SHARE))
        super().__init__(
            f"does not fit: it needs {_gib(self.needed_bytes)} (weights {_gib(plan.weights_bytes)},"
            f" adapter {_gib(plan.adapter_bytes)},"
            f" largest batch {_gib(plan.activation_bytes + plan.recorded_bytes)},"
            f" {min_tokens:,} cached tokens {_gib(min_tokens * plan.bytes_a_token)},"
            f" process {_gib(plan.overhead_bytes)}, slack) and the budget is {_gib(plan.budget_bytes)}:"
            f" set NOTEMILL_MEMORY_GIB={math.ceil(self.needed_bytes / GIB * 10) / 10} or more if the device"
            " has that much, or use smaller weights, e.g. NOTEMILL_WEIGHTS=smollm2-135m"
        )


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """A memory budget and its parts; all fields except tokens are in bytes."""

    budget_bytes: int
    weights_bytes: int
    """All copies in memory."""
    adapter_bytes: int
    activation_bytes: int
    """Peak of the largest batch, apart from attention."""
    recorded_bytes: int
    """Memory of CUDA graphs; 0 on a CPU."""
    overhead_bytes: int
    """The CUDA context, or the process without weights."""
    slack_bytes: int
    """Loss of the allocator by rounding and fragmentation."""
    keys_values_bytes_a_token: int
    attention_bytes_a_token: int
    """Memory of attention for each token of the longest row: key and value of one layer, on a CPU also
    scores.

    A row may be as long as the cache, so every cached token counts."""
    step_tokens: int

    @property
    def bytes_a_token(self) -> int:
        return self.keys_values_bytes_a_token + self.attention_bytes_a_token

    @property
    def left_bytes(self) -> int:
        """Bytes left for cached tokens; negative if the rest does not fit."""
        return self.budget_bytes - self.needed_bytes(0)

    @property
    def cached_tokens(self) -> int:
        """Tokens that fit into the cache, all rows together."""
        return max(0, self.left_bytes // self.bytes_a_token)

    def needed_bytes(self, tokens: int) -> int:
        """The budget needed to cache `tokens` tokens."""
        fixed = self.weights_bytes + self.adapter_bytes + self.activation_bytes + self.recorded_bytes
        return fixed + self.overhead_bytes + self.slack_bytes + tokens * self.bytes_a_token

    def checked(self, *, min_tokens: int) -> MemoryPlan:
        """The plan itself. Raises DoesNotFitError if fewer than `min_tokens` fit into the cache."""
        if self.cached_tokens < min_tokens:
            raise DoesNotFitError(self, min_tokens=min_tokens)
        return self

    def as_dict(self) -> dict[str, int]:
        """All figures, as `--json` prints them."""
        return asdict(self) | {"left_bytes": self.left_bytes, "cached_tokens": self.cached_tokens}


def plan_on_cuda(
    shape: ModelShape,
    *,
    is_quantized: bool,
    adapter: AdapterSize | None,
    budget_bytes: int,
    step_tokens: int,
    rows: int,
    is_context_counted: bool = True,
) -> MemoryPlan:
    """The plan for a GPU: NF4 or bf16 weights with the adapter beside them.

    `is_context_counted`: True if the budget is the whole share of the process; False if it is what was free
    after this process had created its CUDA context.
    """
    context_bytes = CUDA_CONTEXT_BYTES if is_context_counted else 0
    return MemoryPlan(
        budget_bytes=budget_bytes,
        weights_bytes=nf4_bytes(shape) if is_quantized else bf16_bytes(shape),
        adapter_bytes=adapter.total_bytes if adapter else 0,
        activation_bytes=activation_bytes(shape, step_tokens, rows=rows)
        + (largest_matrix_bytes(shape) if is_quantized else 0),
        recorded_bytes=cuda_graph_bytes(shape, is_quantized=is_quantized),
        overhead_bytes=context_bytes,
        slack_bytes=int(budget_bytes * SLACK_SHARE),
        keys_values_bytes_a_token=keys_values_bytes(shape),
        attention_bytes_a_token=layer_keys_values_bytes(shape),
        step_tokens=step_tokens,
    )


def plan_on_cpu(
    shape: ModelShape,
    *,
    merged_bytes: int,
    budget_bytes: int,
    step_tokens: int,
    rows: int,
    max_cache_bytes: int,
) -> MemoryPlan:
    """The plan for a CPU: bf16 weights, and `merged_bytes` for a copy with the adapter merged, if any.

    The cache takes at most `max_cache_bytes`; the rest of the budget is left to other programs.
    """
    plan = MemoryPlan(
        budget_bytes=budget_bytes,
        weights_bytes=bf16_bytes(shape) + merged_bytes,
        adapter_bytes=0,
        activation_bytes=activation_bytes(shape, step_tokens, rows=rows),
        recorded_bytes=0,
        overhead_bytes=CPU_PROCESS_BYTES,
        slack_bytes=int(budget_bytes * SLACK_SHARE),
        keys_values_bytes_a_token=keys_values_bytes(shape),
        attention_bytes_a_token=attention_bytes(shape, step_tokens),
        step_tokens=step_tokens,
    )
    spare = max(0, plan.left_bytes - max_cache_bytes)
    return replace(plan, budget_bytes=budget_bytes - spare)


def _gib(count: float) -> str:
    return f"{count / GIB:.2f} GiB"
