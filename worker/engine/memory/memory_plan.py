"""What fits where: weights, adapter, activations, and what is left of a budget for cached tokens.

Sums of `worker.engine.memory.footprint` on a network's shape, for a GPU and for a CPU; no torch.
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
"""Driver context, loaded kernels of torch and bitsandbytes, cuBLAS workspace. Measured on an H100: 615 MiB
at the start, 691 after steps of every kind (docs/results/performance.md); 300 to 500 are reported of consumer cards,
which have fewer processors to keep buffers for."""
CPU_PROCESS_BYTES = 700 * 2**20
"""Python with torch and transformers imported, before any weights: 0.40 GiB resident here; the rest is for
threads' buffers and grammars."""
SLACK_SHARE = 0.05
"""Of the budget, for what a caching allocator rounds up and splits (torch rounds blocks over 1 MiB to 2 MiB;
vLLM leaves 8 to 10 % of a card by default, `gpu_memory_utilization`, context included)."""


class DoesNotFitError(NotemillError):
    """The weights and the largest step leave no room in the budget for the tokens of even one window."""

    def __init__(self, plan: MemoryPlan, *, least_tokens: int) -> None:
        self.plan = plan
        self.least_tokens = least_tokens
        # Slack is a share of the budget, so that a larger budget needs more of it.
        self.needed_bytes = int((plan.needed_bytes(least_tokens) - plan.slack_bytes) / (1 - SLACK_SHARE))
        super().__init__(
            f"does not fit: {_gib(self.needed_bytes)} are needed (weights {_gib(plan.weights_bytes)},"
            f" adapter {_gib(plan.adapter_bytes)},"
            f" largest step {_gib(plan.activation_bytes + plan.recorded_bytes)},"
            f" {least_tokens:,} cached tokens {_gib(least_tokens * plan.bytes_a_token)},"
            f" process {_gib(plan.overhead_bytes)}, slack) and the budget is {_gib(plan.budget_bytes)}:"
            f" set NOTEMILL_MEMORY_GIB={math.ceil(self.needed_bytes / GIB * 10) / 10} or more where there is"
            " so much, or take smaller weights, e.g. NOTEMILL_WEIGHTS=smollm2-135m"
        )


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Where the bytes of a budget go; all fields but tokens in bytes."""

    budget_bytes: int
    weights_bytes: int
    """All copies of them that are held."""
    adapter_bytes: int
    activation_bytes: int
    """What the largest step takes besides its row's attention."""
    recorded_bytes: int
    """What steps that are recorded for a GPU keep; 0 on a CPU."""
    overhead_bytes: int
    """The CUDA context, or the process without any weights."""
    slack_bytes: int
    """What the allocator rounds up and splits."""
    keys_values_bytes_a_token: int
    attention_bytes_a_token: int
    """What a step takes for each token of its longest row: one layer's key and value, on a CPU also scores.

    A row may be as long as the cache, so it is counted for every cached token."""
    step_tokens: int

    @property
    def bytes_a_token(self) -> int:
        return self.keys_values_bytes_a_token + self.attention_bytes_a_token

    @property
    def left_bytes(self) -> int:
        """For cached tokens; negative where the rest does not fit."""
        return self.budget_bytes - self.needed_bytes(0)

    @property
    def cached_tokens(self) -> int:
        """Of all rows together."""
        return max(0, self.left_bytes // self.bytes_a_token)

    def needed_bytes(self, tokens: int) -> int:
        """A budget in which so many tokens can be cached."""
        fixed = self.weights_bytes + self.adapter_bytes + self.activation_bytes + self.recorded_bytes
        return fixed + self.overhead_bytes + self.slack_bytes + tokens * self.bytes_a_token

    def checked(self, *, least_tokens: int) -> MemoryPlan:
        """The plan itself. Raises DoesNotFitError where fewer than `least_tokens` could be cached."""
        if self.cached_tokens < least_tokens:
            raise DoesNotFitError(self, least_tokens=least_tokens)
        return self

    def as_dict(self) -> dict[str, int]:
        """Every number of it, for `--json`."""
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
    """4-bit (or bf16) weights with the adapter beside them.

    `is_context_counted`: the budget is the process's whole share of the card; False where it is what was
    free after this process had already taken its CUDA context.
    """
    context = CUDA_CONTEXT_BYTES if is_context_counted else 0
    return MemoryPlan(
        budget_bytes=budget_bytes,
        weights_bytes=nf4_bytes(shape) if is_quantized else bf16_bytes(shape),
        adapter_bytes=adapter.total_bytes if adapter else 0,
        activation_bytes=activation_bytes(shape, step_tokens, rows=rows)
        + (largest_matrix_bytes(shape) if is_quantized else 0),
        recorded_bytes=cuda_graph_bytes(shape, is_quantized=is_quantized),
        overhead_bytes=context,
        slack_bytes=int(budget_bytes * SLACK_SHARE),
        keys_values_bytes_a_token=keys_values_bytes(shape),
        attention_bytes_a_token=layer_keys_values_bytes(shape),
        step_tokens=step_tokens,
    )


def plan_on_cpu(
    shape: ModelShape,
    *,
    adapted_bytes: int,
    budget_bytes: int,
    step_tokens: int,
    rows: int,
    most_cache_bytes: int,
) -> MemoryPlan:
    """bf16 weights, and `adapted_bytes` for a copy with the adapter merged (worker.engine.network.model_loader), if any.

    The cache takes at most `most_cache_bytes`; what is more of the budget is left to other programs.
    """
    whole = MemoryPlan(
        budget_bytes=budget_bytes,
        weights_bytes=bf16_bytes(shape) + adapted_bytes,
        adapter_bytes=0,
        activation_bytes=activation_bytes(shape, step_tokens, rows=rows),
        recorded_bytes=0,
        overhead_bytes=CPU_PROCESS_BYTES,
        slack_bytes=int(budget_bytes * SLACK_SHARE),
        keys_values_bytes_a_token=keys_values_bytes(shape),
        attention_bytes_a_token=attention_bytes(shape, step_tokens),
        step_tokens=step_tokens,
    )
    spare = max(0, whole.left_bytes - most_cache_bytes)
    return replace(whole, budget_bytes=budget_bytes - spare)


def _gib(count: float) -> str:
    return f"{count / GIB:.2f} GiB"
