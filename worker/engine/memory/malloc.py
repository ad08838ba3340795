"""Thresholds of glibc's malloc: when freed memory returns to the operating system.

Has no effect with another C library. Does not import torch.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt (malloc.h)."""
_LARGE_BYTES = 2**30
_DEFAULT_BYTES = 128 * 2**10
"""glibc's initial thresholds."""


def return_freed_memory() -> None:
    """Fixes glibc's dynamic thresholds, so that memory freed at the end of a thread's arena returns to the
    system.

    glibc raises the thresholds to the size of the largest freed block, and each thread of a worker has its
    own arena: all together kept 8 MiB instead of 12 after 80 seconds (docs/results/performance.md)."""
    _set_thresholds(mmap=_DEFAULT_BYTES, trim=_DEFAULT_BYTES)


def keep_freed_memory() -> None:
    """Keeps freed blocks of several megabytes for reuse, instead of returning and zeroing them each time.

    Tensors of a layer are that large: attention of 450 tokens over 900 took 24.9 ms with glibc's default
    thresholds and 4.0 ms with these (docs/results/performance.md)."""
    _set_thresholds(mmap=_LARGE_BYTES, trim=2 * _LARGE_BYTES - 1)


def _set_thresholds(*, mmap: int, trim: int) -> None:
    """`mmap`: size in bytes from which a block is mapped by itself; `trim`: bytes that may stay free at the
    end of an arena."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, mmap)
        mallopt(_TRIM_THRESHOLD, trim)
