"""A contender in a process of its own, so that no other's threads are counted with its own.

libgomp wakes the threads of a product otherwise where teams of the same process wait beside it
(worker/engine/network/cpu_threads.py): in one process whoever came second was slower, ours and the peers alike.
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

_here: Contender
"""That of this process."""


class ContenderProcess:
    """Does what the contender does, over there. Raises what it raises."""

    def __init__(self, make: Callable[[], Contender], threads: int) -> None:
        """`make` and what it holds have to be importable there: no lambda."""
        self._pool = ProcessPoolExecutor(1, get_context("spawn"), _begin, (make, threads))

    @property
    def name(self) -> str:
        return str(self.of(attrgetter("name")))

    @property
    def tuning(self) -> dict[str, Any]:
        return dict(self.of(attrgetter("tuning")))

    def prepare(self, sample: Sequence[BenchmarkPrompt]) -> None:
        self.of(methodcaller("prepare", sample))

    def answer(self, asked: Sequence[BenchmarkPrompt]) -> list[GeneratedAnswer]:
        return list(self.of(methodcaller("answer", asked)))

    def forget(self) -> None:
        self.of(methodcaller("forget"))

    def close(self) -> None:
        self.of(methodcaller("close"))
        self._pool.shutdown()

    def of(self, measure: Callable[[Any], Any]) -> Any:
        """What a function finds that is called there, with the contender."""
        return self._pool.submit(_called, measure).result()


def _begin(make: Callable[[], Contender], threads: int) -> None:
    global _here
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    torch.set_num_threads(threads)
    _here = make()


def _called(measure: Callable[[Any], Any]) -> Any:
    return measure(_here)
