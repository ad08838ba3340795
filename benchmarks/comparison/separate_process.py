"""Runs each contender in its own process, so that the threads of one do not slow the next.

libgomp wakes threads differently when another thread team of the process waits (see
worker/engine/network/cpu_threads.py): in one process whichever engine came second was slower.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from operator import attrgetter, methodcaller
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from benchmarks.comparison.workload import BenchmarkPrompt, Contender, GeneratedAnswer

_contender: Contender
"""The contender of this process."""


class ContenderProcess:
    """Forwards each call to the contender in its process, and raises what it raises."""

    def __init__(self, make: Callable[[], Contender], threads: int) -> None:
        """`make` is pickled, so it is not a lambda."""
        self._pool = ProcessPoolExecutor(1, get_context("spawn"), _start, (make, threads))

    @property
    def name(self) -> str:
        return str(self.call(attrgetter("name")))

    @property
    def tuning(self) -> dict[str, Any]:
        return dict(self.call(attrgetter("tuning")))

    def prepare(self, sample: Sequence[BenchmarkPrompt]) -> None:
        self.call(methodcaller("prepare", sample))

    def answer(self, prompts: Sequence[BenchmarkPrompt]) -> list[GeneratedAnswer]:
        return list(self.call(methodcaller("answer", prompts)))

    def clear_caches(self) -> None:
        self.call(methodcaller("clear_caches"))

    def close(self) -> None:
        self.call(methodcaller("close"))
        self._pool.shutdown()

    def call(self, function: Callable[[Any], Any]) -> Any:
        """The result of `function`, called with the contender in its process."""
        return self._pool.submit(_call, function).result()


def _start(make: Callable[[], Contender], threads: int) -> None:
    global _contender
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    torch.set_num_threads(threads)
    _contender = make()


def _call(function: Callable[[Any], Any]) -> Any:
    return function(_contender)
