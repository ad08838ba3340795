"""A card's memory: what is in use of it, and less of it for a while."""

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
    """A runner that counts how often memory ran out; on a CPU it plays that by cached tokens."""

    def __init__(self, runner: Any, most_tokens: int | None) -> None:
        self._runner, self._most_tokens = runner, most_tokens
        self.context_tokens: int = runner.context_tokens
        self.ran_out = 0

    def run(self, batch: ForwardBatch) -> Logits:
        tokens = batch.shared_tokens + batch.num_slots * batch.slot_tokens
        try:
            if self._most_tokens is not None and tokens > self._most_tokens:
                raise OutOfMemoryError(batch)
            return self._runner.run(batch)  # type: ignore[no-any-return]
        except OutOfMemoryError:
            self.ran_out += 1
            raise


@contextmanager
def memory_limit(device: torch.device, num_bytes: float) -> Iterator[None]:
    """In the block torch's allocator holds at most so much on the card; nothing is limited on a CPU."""
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
    """Of the whole card, all processes. `is_without_context`: by the driver's tool, which makes none here."""
    if not is_without_context:
        free, total = torch.cuda.mem_get_info()
        return total - free
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout  # noqa: S603
        return int(told.split()[0]) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return 0


def release_cached_memory() -> None:
    """What nothing holds any more goes back to the card."""
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
