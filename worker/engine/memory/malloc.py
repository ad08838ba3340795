"""How this process asks the system for memory, and when it gives it back: thresholds of glibc's malloc.

Does nothing where the C library is another. No torch.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of glibc's mallopt (malloc.h)."""
_LARGE = 2**30
_USUAL = 128 * 2**10
"""With which glibc begins."""


def return_freed_memory() -> None:
    """What is freed at the end of a thread's memory is the system's again, throughout.

    glibc gives back less the larger the blocks were that it has freed, and each of a worker's threads has
    memory of its own: all together had 8 MiB instead of 12 after 80 seconds (docs/results/performance.md)."""
    _set_thresholds(mmap=_USUAL, trim=_USUAL)


def keep_freed_memory() -> None:
    """Memory of some megabytes that is freed is used again, instead of given back and zeroed each time.

    A layer's tensors are that large: attention of 450 tokens over 900 took 24.9 ms with glibc's own
    thresholds and 4.0 ms so (docs/results/performance.md)."""
    _set_thresholds(mmap=_LARGE, trim=2 * _LARGE - 1)


def _set_thresholds(*, mmap: int, trim: int) -> None:
    """In bytes: from which size a block is mapped alone, and how much may lie free at an end."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, mmap)
        mallopt(_TRIM_THRESHOLD, trim)
