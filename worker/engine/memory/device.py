"""What the machine offers: the kind of device, the memory that is free on it, and what is said where none is.

torch is imported only where CUDA or an error is asked about; RAM is read from the system.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """Where a network is to run."""

    kind: Literal["cuda", "cpu"]
    free_bytes: int
    """What this process may still take there."""
    has_context: bool = False
    """This process's CUDA context is in memory already, so it is no part of what is free."""


def device_facts(kind: Literal["cuda", "cpu"]) -> DeviceFacts:
    """Of the device that this process will compute on; on CUDA this makes the context."""
    if kind == "cpu":
        return DeviceFacts("cpu", free_ram_bytes() or 0)
    import torch

    return DeviceFacts("cuda", torch.cuda.mem_get_info()[0], has_context=True)


def free_ram_bytes() -> int | None:
    """What programs may take, the disk cache included, within a container's limit; None: cannot be told."""
    known = [one for one in (_available_bytes(), _left_in_container_bytes()) if one is not None]
    return min(known, default=None)


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


def _left_in_container_bytes(folder: Path = _CGROUP) -> int | None:
    """cgroup v2: the limit less what is taken and cannot be dropped; None without a limit."""
    try:
        limit = int((folder / "memory.max").read_text("ascii"))
        used = int((folder / "memory.current").read_text("ascii"))
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text("ascii").splitlines())
    except (OSError, ValueError):  # no cgroup, or the word `max`
        return None
    return max(0, limit - used + int(statistics.get("inactive_file", 0)))


def is_out_of_memory(error: Exception) -> bool:
    """torch has an error of its own for its allocator; cuBLAS and the driver only say so."""
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        words in str(error) for words in ("out of memory", "ALLOC_FAILED", "can't allocate memory")
    )
