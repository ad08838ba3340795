"""Memory plan of this worker by its settings: model shape, adapter and budget.

The engine plans before it loads anything, and takes `cached_tokens` as its token budget; `notemill doctor`
prints the same plan.
"""

from __future__ import annotations

from models.settings import Settings
from worker.engine.batching.scheduler import MAX_FORWARD_TOKENS
from worker.engine.memory.device import DeviceFacts
from worker.engine.memory.footprint import AdapterSize, bf16_bytes, int8_bytes
from worker.engine.memory.memory_plan import GIB, MemoryPlan, plan_on_cpu, plan_on_cuda
from worker.engine.memory.model_shape import CONFIGS, ModelShape, shape_of_folder
from worker.weights.model_files import adapter_folder, is_prepared, prepared_folder

ASSUMED_RANK = 16
"""Rank assumed for an adapter that does not exist yet: the rank of those we train."""
CPU_SHARE = 0.5
"""Share of free RAM used without a set budget: other programs run on the machine too."""
CPU_CACHE_BYTES = 2 * GIB
"""Largest cache without a set budget: 32 rows of 2,900 tokens with the embedded weights."""
QUESTION_TOKENS = 150
"""Tokens that chat format and question may add to a window: with the embedded weights tagging of 9 labels
adds 90, a search 69."""


def plan_memory(settings: Settings, device: DeviceFacts) -> MemoryPlan:
    """The plan for the prepared weights on this device.

    Raises DoesNotFitError, with the bytes needed and available; WeightsError if the weights are not prepared.
    """
    shape = shape_of_folder(prepared_folder(settings))
    return _checked(memory_plan_of(shape, adapter_size_of(settings, shape), settings, device), settings)


def plan_by_name(settings: Settings, device: DeviceFacts) -> MemoryPlan:
    """The plan for weights that may not be on this machine, with the adapter that they would have.

    Raises DoesNotFitError; WeightsError for an unknown name.
    """
    is_local = is_prepared(settings) or settings.weights not in CONFIGS
    shape = (
        shape_of_folder(prepared_folder(settings)) if is_local else ModelShape.of(CONFIGS[settings.weights])
    )
    adapter = adapter_size_of(settings, shape)
    if adapter is None and settings.adapter == "auto" and settings.weights in CONFIGS:
        adapter = AdapterSize.of_rank(ASSUMED_RANK, shape)
    return _checked(memory_plan_of(shape, adapter, settings, device), settings)


def memory_plan_of(
    shape: ModelShape, adapter: AdapterSize | None, settings: Settings, device: DeviceFacts
) -> MemoryPlan:
    """The plan without a check: it may have no room for a single token.

    The budget is NOTEMILL_MEMORY_GIB for the whole process, or else the free memory of a GPU or a share of
    free RAM.
    """
    requested_bytes = int(settings.memory_gib * GIB)
    if device.kind == "cuda":
        # A card with 6 GiB free gives 6 GiB even if the setting says 8.
        free_bytes = device.free_bytes
        return plan_on_cuda(
            shape,
            is_quantized=settings.quantization == "nf4",
            adapter=adapter,
            budget_bytes=min(requested_bytes, free_bytes) if requested_bytes else free_bytes,
            step_tokens=MAX_FORWARD_TOKENS,
            rows=settings.max_batch_rows,
            is_context_counted=not device.has_context or 0 < requested_bytes < free_bytes,
        )
    merged_size = int8_bytes if settings.quantization == "nf4" else bf16_bytes
    merged_bytes = merged_size(shape) if adapter else 0
    return plan_on_cpu(
        shape,
        merged_bytes=merged_bytes,
        budget_bytes=requested_bytes or int(device.free_bytes * CPU_SHARE),
        step_tokens=MAX_FORWARD_TOKENS,
        rows=settings.max_batch_rows,
        max_cache_bytes=requested_bytes or CPU_CACHE_BYTES,
    )


def adapter_size_of(settings: Settings, shape: ModelShape) -> AdapterSize | None:
    """Size of the adapter of the settings, if there is one."""
    folder = adapter_folder(settings)
    if folder is None:
        return None
    return (
        AdapterSize.of_folder(folder)
        if (folder / "adapter_model.safetensors").is_file()
        else AdapterSize.of_rank(ASSUMED_RANK, shape)
    )


def tokens_per_window(settings: Settings) -> int:
    """Tokens of one window with one question: the window, the question, and the copy of the window."""
    return 2 * settings.window_tokens + QUESTION_TOKENS


def _checked(plan: MemoryPlan, settings: Settings) -> MemoryPlan:
    return plan.checked(min_tokens=tokens_per_window(settings))
