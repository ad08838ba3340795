"""A step's pieces side by side on two cores: in halves, each with its own thread and one of them.

Where both cores share each product they wait for each other some thousand times a step, and oneDNN gives some
products to one core alone: of 1,024 rows by 1,536 by 576 two cores took as long as one (docs/performance.md).
With more cores a half would need a team of threads, which counts beside the whole's (worker/cores.py).
Knows no network: what a half does is handed down.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from dataclasses import replace
from typing import TypeVar

import torch

from worker.cores import of_one_core
from worker.sequences import Beginning, Branch, Piece

_LEAST_TOKENS = 384
"""Of a step in halves: with fewer each half waits for the weights, which both read."""
_LARGEST_SHARE = 0.55
"""Of a step's tokens in one half: with more the other waits for longer than is gained."""
_PATIENCE_SECONDS = 600.0
"""Until the other half comes to the same place: a layer takes milliseconds."""

_Found = TypeVar("_Found")
Meet = Callable[[], object]
"""Returns when the other half has called it as well."""


class Lanes:
    """Two threads that halve the work of a step."""

    def __init__(self) -> None:
        self._pool = of_one_core(2, "lane")

    def run(
        self, halves: Sequence[Sequence[Piece]], compute: Callable[[Sequence[Piece], Meet], _Found]
    ) -> list[_Found]:
        """What is computed of each half. Raises what the first of them raises that does."""
        barrier = threading.Barrier(len(halves), timeout=_PATIENCE_SECONDS)

        def computed(half: Sequence[Piece]) -> _Found:
            try:
                with torch.inference_mode():
                    return compute(half, barrier.wait)
            except BaseException:
                barrier.abort()
                raise

        running = [self._pool.submit(computed, half) for half in halves]
        wait(running)
        errors = [error for one in running if (error := one.exception()) is not None]
        # The other half's is only that this one came no more.
        for error in sorted(errors, key=lambda one: isinstance(one, threading.BrokenBarrierError)):
            raise error
        return [one.result() for one in running]


def halves(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Of as many tokens as can be, or all in one where halves are not worth it.

    A beginning may be cut: what is read of it lies in the cache before anything attends to it. Branches that
    write are attended next to each other, and gain nothing apart.
    """
    tokens = sum(piece.num_tokens for piece in pieces)
    if tokens < _LEAST_TOKENS or any(isinstance(one.of, Branch) and one.of.is_written for one in pieces):
        return [[*pieces]]
    found: list[list[Piece]] = [[], []]
    sizes = [0, 0]
    for piece in sorted(_cut(pieces, tokens // 2), key=lambda one: -one.num_tokens):
        smaller = sizes.index(min(sizes))
        found[smaller].append(piece)
        sizes[smaller] += piece.num_tokens
    return found if max(sizes) <= _LARGEST_SHARE * tokens else [[*pieces]]


def _cut(pieces: Sequence[Piece], most: int) -> list[Piece]:
    found: list[Piece] = []
    for piece in pieces:
        if isinstance(piece.of, Beginning) and piece.num_tokens > most:
            middle = piece.start + most
            found += [replace(piece, stop=middle), replace(piece, start=middle)]
        else:
            found.append(piece)
    return found
