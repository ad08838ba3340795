"""Which threads compute with which cores: one with all of them, others with one, no team left over.

libgomp, by which torch and oneDNN share a product among cores, lets the threads of a team wait awake for
their next part while all teams together have no more threads than there are cores; else the system wakes them
for each (gomp_throttled_spin_count_var, libgomp/env.c of GCC). A team counts as long as the thread lives that
made it. With one more, left by the thread that had loaded the network, a night's steps took a quarter longer
on two cores (docs/results/performance.md).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

_Found = TypeVar("_Found")


def run_in_own_thread(compute: Callable[[], _Found]) -> _Found:
    """What is computed in a thread that ends with it, and its team too. Raises what it raises."""
    with ThreadPoolExecutor(1, "apart") as one:
        return one.submit(compute).result()


def single_core_pool(number: int, name: str) -> ThreadPoolExecutor:
    """So many threads that compute with a core each, and so without a team; the caller's cores stay."""
    pool = ThreadPoolExecutor(number, name)
    before = torch.get_num_threads()
    ready = threading.Barrier(number)

    def begin() -> None:
        torch.set_num_threads(1)
        torch.get_num_threads()  # by which a thread takes the number over as its own
        ready.wait()

    wait([pool.submit(begin) for _ in range(number)])
    torch.set_num_threads(before)
    return pool
