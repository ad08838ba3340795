"""A step's pieces side by side on two cores: in halves, each with its own thread and one of them.

Where both cores share each product they wait for each other some thousand times a step, and oneDNN gives some
products to one core alone: of 1,024 rows by 1,536 by 576 two cores took as long as one
(docs/results/performance.md). With more cores a half would need a team of threads, which counts beside the
whole's (worker/engine/network/cpu_threads.py). Knows no network: what a half does is handed down.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from dataclasses import replace
from typing import TypeVar

import torch

from worker.engine.batching.sequences import Continuation, Prefix, ScheduledChunk
from worker.engine.network.cpu_threads import single_core_pool

_LEAST_TOKENS = 384
"""Of a step in halves: with fewer each half waits for the weights, which both read."""
_LARGEST_SHARE = 0.55
"""Of a step's work in one half: with more the other waits for longer than is gained."""
_KEYS_A_TOKEN = 1_700
"""To attend to so many takes as long as all else that is done for a token (docs/results/performance.md)."""
_LEAST_PART = 32
"""Tokens of a beginning that is cut."""
_PATIENCE_SECONDS = 600.0
"""Until the other half comes to the same place: a layer takes milliseconds."""

_Found = TypeVar("_Found")
Rendezvous = Callable[[], object]
"""Returns when the other half has called it as well."""


class TwoCoreExecutor:
    """Two threads that halve the work of a step."""

    def __init__(self) -> None:
        self._pool = single_core_pool(2, "lane")

    def run(
        self,
        split_in_halves: Sequence[Sequence[ScheduledChunk]],
        compute: Callable[[Sequence[ScheduledChunk], Rendezvous], _Found],
    ) -> list[_Found]:
        """What is computed of each half. Raises what the first of them raises that does."""
        barrier = threading.Barrier(len(split_in_halves), timeout=_PATIENCE_SECONDS)

        def computed(half: Sequence[ScheduledChunk]) -> _Found:
            try:
                with torch.inference_mode():
                    return compute(half, barrier.wait)
            except BaseException:
                barrier.abort()
                raise

        running = [self._pool.submit(computed, half) for half in split_in_halves]
        wait(running)
        errors = [error for one in running if (error := one.exception()) is not None]
        # The other half's is only that this one came no more.
        for error in sorted(errors, key=lambda one: isinstance(one, threading.BrokenBarrierError)):
            raise error
        return [one.result() for one in running]


def split_in_halves(chunks: Sequence[ScheduledChunk]) -> list[list[ScheduledChunk]]:
    """Of as much work as can be, or all in one where halves are not worth it.

    A beginning may be cut: what is read of it lies in the cache before anything attends to it. Branches that
    write are attended next to each other, and gain nothing apart.
    """
    if sum(chunk.num_tokens for chunk in chunks) < _LEAST_TOKENS or any(map(_is_written, chunks)):
        return [[*chunks]]
    found: list[list[ScheduledChunk]] = [[], []]
    work, all_work = [0.0, 0.0], sum(map(_work, chunks))
    # What can be cut comes last, to even out what could not.
    for chunk in sorted(chunks, key=lambda one: (isinstance(one.sequence, Prefix), -_work(one))):
        less = work.index(min(work))
        for half, part in zip((less, 1 - less), _cut(chunk, all_work / 2 - work[less]), strict=False):
            found[half].append(part)
            work[half] += _work(part)
    return found if max(work) <= _LARGEST_SHARE * all_work else [[*chunks]]


def _is_written(chunk: ScheduledChunk) -> bool:
    return isinstance(chunk.sequence, Continuation) and chunk.sequence.is_generated


def _work(chunk: ScheduledChunk) -> float:
    """In tokens that attend to nothing."""
    return chunk.num_tokens * (_work_of_first(chunk) + chunk.num_tokens / (2 * _KEYS_A_TOKEN))


def _work_of_first(chunk: ScheduledChunk) -> float:
    """Of its first token."""
    seen = chunk.start + (chunk.sequence.num_prefix_tokens if isinstance(chunk.sequence, Continuation) else 0)
    return 1 + seen / _KEYS_A_TOKEN


def _cut(chunk: ScheduledChunk, room: float) -> list[ScheduledChunk]:
    """A beginning's in two, where neither is too short: the first of as much work as there is room for."""
    first = _work_of_first(chunk)
    tokens = int(_KEYS_A_TOKEN * (math.sqrt(first**2 + 2 * max(0.0, room) / _KEYS_A_TOKEN) - first))
    if (
        isinstance(chunk.sequence, Continuation)
        or not _LEAST_PART <= tokens <= chunk.num_tokens - _LEAST_PART
    ):
        return [chunk]
    return [replace(chunk, stop=chunk.start + tokens), replace(chunk, start=chunk.start + tokens)]
