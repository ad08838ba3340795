"""CPU threads: limits the OpenMP thread teams of torch, so that no more threads than cores wait for work.

libgomp shares a product among a team of threads. The threads spin between products while all teams together
have no more threads than cores; otherwise the system wakes them each time (gomp_throttled_spin_count_var,
libgomp/env.c of GCC). A team lives as long as the thread that created it. One more team, left by the thread
that loaded the network, made batches a quarter slower on two cores (docs/results/performance.md).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

_Result = TypeVar("_Result")


def run_in_own_thread(compute: Callable[[], _Result]) -> _Result:
    """Computes in a thread that ends afterwards, and its team with it. Raises what `compute` raises."""
    with ThreadPoolExecutor(1, "own-thread") as pool:
        return pool.submit(compute).result()


def single_core_pool(number: int, name: str) -> ThreadPoolExecutor:
    """A pool of `number` threads that compute with one core each, so without a team.

    The caller's number of cores stays as it is.
    """
    pool = ThreadPoolExecutor(number, name)
    before = torch.get_num_threads()
    ready = threading.Barrier(number)

    def set_one_core() -> None:
        torch.set_num_threads(1)
        torch.get_num_threads()  # makes the thread adopt the number
        ready.wait()

    wait([pool.submit(set_one_core) for _ in range(number)])
    torch.set_num_threads(before)
    return pool
