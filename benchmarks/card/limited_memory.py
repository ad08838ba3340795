"""GPU memory in use, and a temporary limit of it."""

from __future__ import annotations

import gc
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from worker.engine.batching.batched_engine import Logits, OutOfMemoryError
from worker.engine.batching.sequences import ForwardBatch


class LimitedMemoryRunner:
    """A runner that counts how often memory ran out; on a CPU a token limit simulates that."""

    def __init__(self, runner: Any, max_tokens: int | None) -> None:
        self._runner, self._max_tokens = runner, max_tokens
        self.context_tokens: int = runner.context_tokens
        self.ran_out = 0

    def run(self, batch: ForwardBatch) -> Logits:
        tokens = batch.shared_tokens + batch.num_slots * batch.slot_tokens
        try:
            if self._max_tokens is not None and tokens > self._max_tokens:
                raise OutOfMemoryError(batch)
            return self._runner.run(batch)  # type: ignore[no-any-return]
        except OutOfMemoryError:
            self.ran_out += 1
            raise


@contextmanager
def memory_limit(device: torch.device, num_bytes: float) -> Iterator[None]:
    """Limits torch's allocator on the GPU to `num_bytes` within the block; does nothing on a CPU."""
    if device.type != "cuda":
        yield
        return
    release_cached_memory()
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, num_bytes / total))
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        release_cached_memory()


def bytes_in_use(*, is_without_context: bool = False) -> int:
    """GPU memory in use by all processes. `is_without_context`: asks nvidia-smi, without a CUDA context."""
    if not is_without_context:
        free, total = torch.cuda.mem_get_info()
        return total - free
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    try:
        output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout  # noqa: S603
        return int(output.split()[0]) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return 0


def release_cached_memory() -> None:
    """Returns unused memory of torch's allocator to the GPU."""
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
