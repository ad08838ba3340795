"""Two-core split: computes a batch in two halves, each in its own thread on one core.

When both cores share each product, they wait for each other a thousand times a batch, and oneDNN computes
some products on one core only (docs/results/performance.md). More than two cores would need a team of threads
for each half, which slows all teams (`worker.engine.network.cpu_threads`). Does not import the network: the
caller passes the computation.
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

_MIN_TOKENS = 384
"""Minimum tokens of a batch in halves: with fewer, reading the weights, which both halves do, takes most of
the time."""
_MAX_SHARE = 0.55
"""Maximum share of the work in one half: with more, the other waits longer than the split gains."""
_KEYS_PER_TOKEN = 1_700
"""Attention to so many keys takes as long as all other work for a token (docs/results/performance.md)."""
_MIN_PART_TOKENS = 32
"""Minimum tokens of each part of a split prefix."""
_TIMEOUT_SECONDS = 600.0
"""Timeout of the rendezvous of both halves; a layer takes milliseconds."""

_Result = TypeVar("_Result")
Rendezvous = Callable[[], object]
"""Returns once both halves have called it."""


class TwoCoreExecutor:
    """Two threads that compute the halves of a batch."""

    def __init__(self) -> None:
        self._pool = single_core_pool(2, "half")

    def run(
        self,
        halves: Sequence[Sequence[ScheduledChunk]],
        compute: Callable[[Sequence[ScheduledChunk], Rendezvous], _Result],
    ) -> list[_Result]:
        """The results of both halves. Raises the error of the half that failed first."""
        barrier = threading.Barrier(len(halves), timeout=_TIMEOUT_SECONDS)

        def compute_half(half: Sequence[ScheduledChunk]) -> _Result:
            try:
                with torch.inference_mode():
                    return compute(half, barrier.wait)
            except BaseException:
                barrier.abort()
                raise

        futures = [self._pool.submit(compute_half, half) for half in halves]
        wait(futures)
        errors = [error for future in futures if (error := future.exception()) is not None]
        # The other half then fails only with a BrokenBarrierError.
        for error in sorted(errors, key=lambda error: isinstance(error, threading.BrokenBarrierError)):
            raise error
        return [future.result() for future in futures]


def split_in_halves(chunks: Sequence[ScheduledChunk]) -> list[list[ScheduledChunk]]:
    """Splits chunks into two halves of about equal work; one part if a split does not pay.

    A prefix may be split: its keys and values are in the cache before anything attends to them. Continuations
    that generate attend together and gain nothing from a split.
    """
    if sum(chunk.num_tokens for chunk in chunks) < _MIN_TOKENS or any(map(_is_generated, chunks)):
        return [[*chunks]]
    halves: list[list[ScheduledChunk]] = [[], []]
    work, all_work = [0.0, 0.0], sum(map(_work, chunks))
    # Prefixes can be split, so they come last and even out the halves.
    for chunk in sorted(chunks, key=lambda chunk: (isinstance(chunk.sequence, Prefix), -_work(chunk))):
        smaller = work.index(min(work))
        for half, part in zip(
            (smaller, 1 - smaller), _split_chunk(chunk, all_work / 2 - work[smaller]), strict=False
        ):
            halves[half].append(part)
            work[half] += _work(part)
    return halves if max(work) <= _MAX_SHARE * all_work else [[*chunks]]


def _is_generated(chunk: ScheduledChunk) -> bool:
    return isinstance(chunk.sequence, Continuation) and chunk.sequence.is_generated


def _work(chunk: ScheduledChunk) -> float:
    """Work of a chunk, in units of a token without attention."""
    return chunk.num_tokens * (_first_token_work(chunk) + chunk.num_tokens / (2 * _KEYS_PER_TOKEN))


def _first_token_work(chunk: ScheduledChunk) -> float:
    """Work of the first token of the chunk."""
    num_keys = chunk.start + (
        chunk.sequence.num_prefix_tokens if isinstance(chunk.sequence, Continuation) else 0
    )
    return 1 + num_keys / _KEYS_PER_TOKEN


def _split_chunk(chunk: ScheduledChunk, target: float) -> list[ScheduledChunk]:
    """Splits a prefix into a part with `target` work and the rest, unless either would be too short."""
    first_token = _first_token_work(chunk)
    tokens = int(
        _KEYS_PER_TOKEN * (math.sqrt(first_token**2 + 2 * max(0.0, target) / _KEYS_PER_TOKEN) - first_token)
    )
    if (
        isinstance(chunk.sequence, Continuation)
        or not _MIN_PART_TOKENS <= tokens <= chunk.num_tokens - _MIN_PART_TOKENS
    ):
        return [chunk]
    return [replace(chunk, stop=chunk.start + tokens), replace(chunk, start=chunk.start + tokens)]
