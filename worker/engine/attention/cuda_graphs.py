"""Steps that only write, on a GPU: recorded once for each number of tokens, then launched as one.

In a step of a few tokens a GPU waits for Python, which launches a thousand kernels one by one. A CUDA graph
(https://docs.nvidia.com/cuda/cuda-c-programming-guide/#cuda-graphs) launches all of them at once, with the
addresses that they had: so what changes from step to step is copied to one place, and what is recorded holds
as long as keys and values lie where they lay. Knows no scheduler.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from worker.engine.attention.batch_layout import CHUNK_COLUMNS, BatchLayout, KvWrite
from worker.engine.attention.batch_packing import is_decode_chunk, kernel_row
from worker.engine.batching.sequences import Continuation, ScheduledChunk
from worker.engine.memory.device import is_out_of_memory
from worker.engine.memory.footprint import MAX_GRAPH_TOKENS

log = logging.getLogger(__name__)

GRAPH_SIZES = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, MAX_GRAPH_TOKENS)
"""Tokens of a recorded step: the last stand for those that are missing to the next size."""
_OFTEN = 3
"""Steps of a size before it is recorded, which takes as long as two of them."""

ForwardFunction = Callable[[torch.Tensor, torch.Tensor, BatchLayout], torch.Tensor]
"""Tokens and their positions, [1, number], with the plan; hidden states, [number, size]."""


class CudaGraphs:
    """Those of one network, while its cache stays where it is."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        # One for all: memory freed on one stream is not given to another, and each has a workspace.
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._generation = 0
        self._is_able = True
        self.clear()

    def clear(self) -> None:
        """Gives the memory back."""
        self._recorded: dict[tuple[int, bool], _Recorded] = {}
        self._seen: Counter[tuple[int, bool]] = Counter()
        self._pool = torch.cuda.graph_pool_handle()

    def run(
        self,
        chunks: Sequence[ScheduledChunk],
        *,
        uses_adapter: bool,
        generation: int,
        forward: ForwardFunction,
    ) -> torch.Tensor | None:
        """Hidden states of the packed tokens, and behind them of those that were added; until the next run.

        None where the step is to be computed in the ordinary way. `generation`: of the cache; what was
        recorded with another one is forgotten.
        """
        if generation != self._generation:
            self.clear()
            self._generation = generation
        tokens = sum(chunk.num_tokens for chunk in chunks)
        if not self._is_able or tokens > GRAPH_SIZES[-1] or not all(map(is_decode_chunk, chunks)):
            return None
        key = (GRAPH_SIZES[bisect_left(GRAPH_SIZES, tokens)], uses_adapter)
        self._seen[key] += 1
        if self._seen[key] <= _OFTEN:
            return None
        given = torch.tensor(_numbers(chunks, key[0]))
        if key not in self._recorded:
            try:
                self._recorded[key] = self._record(given.to(self._device), key[0], forward)
            except RuntimeError as error:
                if is_out_of_memory(error):
                    raise
                log.warning("steps that write are not recorded: %s", type(error).__name__)
                self._is_able = False
                return None
        recorded = self._recorded[key]
        recorded.given.copy_(given)
        recorded.graph.replay()
        return recorded.hidden

    def _record(self, given: torch.Tensor, size: int, forward: ForwardFunction) -> _Recorded:
        step = _step(given, size)
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            forward(*step)  # kernels are chosen and compiled before anything is recorded
        current.wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            hidden = forward(*step)
        return _Recorded(given, graph, hidden)


@dataclass(frozen=True, slots=True)
class _Recorded:
    given: torch.Tensor
    """What the step reads: see `_numbers`."""
    graph: torch.cuda.CUDAGraph
    hidden: torch.Tensor


class _Step(NamedTuple):
    tokens: torch.Tensor
    positions: torch.Tensor
    plan: BatchLayout


def _numbers(chunks: Sequence[ScheduledChunk], size: int) -> list[int]:
    """Of so many tokens one after another: token, position, slot, place in it, each for all; then the pieces.

    The last token comes again until there are `size`: it is a piece of its own each time, and what is stored
    of it is the same. Pieces of no token fill up.
    """
    tokens: list[int] = []
    positions: list[int] = []
    slots: list[int] = []
    slot_positions: list[int] = []
    listed: list[int] = []
    missing = size - sum(chunk.num_tokens for chunk in chunks)
    last = ScheduledChunk(chunks[-1].sequence, chunks[-1].stop - 1, chunks[-1].stop)
    for chunk in (*chunks, *[last] * missing):
        assert isinstance(chunk.sequence, Continuation)
        listed += kernel_row(chunk, len(tokens))
        tokens += chunk.sequence.tokens[chunk.start : chunk.stop]
        positions += chunk.sequence.position_ids(chunk.start, chunk.stop)
        slots += [chunk.sequence.slot] * chunk.num_tokens
        slot_positions += range(chunk.start, chunk.stop)
    listed += [0] * (size * CHUNK_COLUMNS - len(listed))
    return [*tokens, *positions, *slots, *slot_positions, *listed]


def _step(given: torch.Tensor, size: int) -> _Step:
    """The same numbers by their names; nothing is copied."""
    tokens, positions, slots, slot_positions, listed = torch.split(given, [size] * 4 + [size * CHUNK_COLUMNS])
    plan = BatchLayout((), None, KvWrite((), None, slots, slot_positions), listed.view(size, CHUNK_COLUMNS))
    return _Step(tokens[None], positions[None], plan)
