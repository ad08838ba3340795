"""How this process asks the system for memory, and what is said where there is none."""

from __future__ import annotations

import ctypes
import sys

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of glibc's mallopt (malloc.h)."""
_LARGE = 2**30


def keep_freed_memory() -> None:
    """Memory of some megabytes that is freed is used again, instead of given back and zeroed each time.

    A layer's tensors are that large: attention of 450 tokens over 900 took 24.9 ms with glibc's own
    thresholds and 4.0 ms so (docs/performance.md). Does nothing where the C library is another.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGE)
        mallopt(_TRIM_THRESHOLD, 2 * _LARGE - 1)


def is_of_memory(error: Exception) -> bool:
    """torch has an error of its own for its allocator; cuBLAS and the driver only say so."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        words in str(error) for words in ("out of memory", "ALLOC_FAILED", "can't allocate memory")
    )
