"""The device: its kind, its free memory, and how to recognise errors of lack of memory.

Reads RAM from the system. Imports torch only for CUDA and for errors.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """The device on which a network is to run."""

    kind: Literal["cuda", "cpu"]
    free_bytes: int
    """Bytes that this process may still allocate there."""
    has_context: bool = False
    """True if the CUDA context of this process is in memory already, so that `free_bytes` excludes it."""


def device_facts(kind: Literal["cuda", "cpu"]) -> DeviceFacts:
    """Facts of the device of this process; on CUDA this creates the context."""
    if kind == "cpu":
        return DeviceFacts("cpu", free_ram_bytes() or 0)
    import torch

    return DeviceFacts("cuda", torch.cuda.mem_get_info()[0], has_context=True)


def free_ram_bytes() -> int | None:
    """RAM that programs may allocate, including the disk cache, within a container's limit; None: unknown."""
    amounts = [amount for amount in (_available_bytes(), _container_free_bytes()) if amount is not None]
    return min(amounts, default=None)


def _available_bytes() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def _container_free_bytes(folder: Path = _CGROUP) -> int | None:
    """cgroup v2: the limit minus memory in use that cannot be reclaimed; None without a limit."""
    try:
        limit = int((folder / "memory.max").read_text("ascii"))
        used = int((folder / "memory.current").read_text("ascii"))
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text("ascii").splitlines())
    except (OSError, ValueError):  # no cgroup, or the word `max`
        return None
    return max(0, limit - used + int(statistics.get("inactive_file", 0)))


def is_out_of_memory(error: Exception) -> bool:
    """True if the error says that memory ran out; torch's allocator has its own class, cuBLAS and the driver
    only a message."""
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        words in str(error) for words in ("out of memory", "ALLOC_FAILED", "can't allocate memory")
    )
