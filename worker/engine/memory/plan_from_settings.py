"""The memory plan of this worker: which shape, which adapter, which budget its settings mean.

The engine asks once, before it loads anything, and takes `cached_tokens` as its budget of tokens;
`notemill doctor` asks the same and prints it.
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
"""Of an adapter that is not there yet: that of those we train."""
CPU_SHARE = 0.5
"""Of the free RAM, where no budget is set: a worker is a guest on its machine."""
CPU_CACHE_BYTES = 2 * GIB
"""The most a cache takes where no budget is set: 32 rows of 2,900 tokens of the embedded weights."""
QUESTION_TOKENS = 150
"""What chat format and question may add to a window: marks of 9 labels are 90 with the embedded weights, a
search 69."""


def plan_memory(settings: Settings, device: DeviceFacts) -> MemoryPlan:
    """Of the prepared weights on this device.

    Raises DoesNotFitError, saying what is needed and what there is; WeightsError where they are not prepared.
    """
    shape = shape_of_folder(prepared_folder(settings))
    return _checked(memory_plan_of(shape, adapter_size_of(settings, shape), settings, device), settings)


def plan_by_name(settings: Settings, device: DeviceFacts) -> MemoryPlan:
    """The same for weights that may not be on this machine, with the adapter that they would have.

    Raises DoesNotFitError; WeightsError for a name that stands for nothing known.
    """
    is_here = is_prepared(settings) or settings.weights not in CONFIGS
    shape = (
        shape_of_folder(prepared_folder(settings)) if is_here else ModelShape.of(CONFIGS[settings.weights])
    )
    adapter = adapter_size_of(settings, shape)
    if adapter is None and settings.adapter == "auto" and settings.weights in CONFIGS:
        adapter = AdapterSize.of_rank(ASSUMED_RANK, shape)
    return _checked(memory_plan_of(shape, adapter, settings, device), settings)


def memory_plan_of(
    shape: ModelShape, adapter: AdapterSize | None, settings: Settings, device: DeviceFacts
) -> MemoryPlan:
    """Unchecked: may have no room for a single token.

    NOTEMILL_MEMORY_GIB is the process's whole share; without it a GPU's free memory or a part of free RAM.
    """
    asked = int(settings.memory_gib * GIB)
    if device.kind == "cuda":
        # A card that is asked for 8 GiB and has 6 free gives 6.
        free = device.free_bytes
        return plan_on_cuda(
            shape,
            is_quantized=settings.quantization == "nf4",
            adapter=adapter,
            budget_bytes=min(asked, free) if asked else free,
            step_tokens=MAX_FORWARD_TOKENS,
            rows=settings.max_batch_rows,
            is_context_counted=not device.has_context or 0 < asked < free,
        )
    in_its_form = int8_bytes if settings.quantization == "nf4" else bf16_bytes
    adapted_bytes = in_its_form(shape) if adapter else 0
    return plan_on_cpu(
        shape,
        adapted_bytes=adapted_bytes,
        budget_bytes=asked or int(device.free_bytes * CPU_SHARE),
        step_tokens=MAX_FORWARD_TOKENS,
        rows=settings.max_batch_rows,
        most_cache_bytes=asked or CPU_CACHE_BYTES,
    )


def adapter_size_of(settings: Settings, shape: ModelShape) -> AdapterSize | None:
    """What the settings' adapter takes, if there is one."""
    folder = adapter_folder(settings)
    if folder is None:
        return None
    return (
        AdapterSize.of_folder(folder)
        if (folder / "adapter_model.safetensors").is_file()
        else AdapterSize.of_rank(ASSUMED_RANK, shape)
    )


def tokens_per_window(settings: Settings) -> int:
    """What one window of a note takes with one question: read, asked, and given a second time."""
    return 2 * settings.window_tokens + QUESTION_TOKENS


def _checked(plan: MemoryPlan, settings: Settings) -> MemoryPlan:
    return plan.checked(least_tokens=tokens_per_window(settings))
