"""CUDA graphs of batches that only decode: recorded once for each number of tokens, then replayed.

In a batch of few tokens a GPU waits for Python, which launches a thousand kernels one by one. A CUDA graph
(https://docs.nvidia.com/cuda/cuda-c-programming-guide/#cuda-graphs) launches them all at once with the
recorded addresses. Inputs are therefore copied into one tensor, and a graph is valid while the KV cache stays
in place.
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
"""Tokens of recorded batches; a smaller batch repeats its last token up to the next size."""
_MIN_BATCHES = 3
"""Batches of a size before it is recorded; recording takes as long as two batches."""

ForwardFunction = Callable[[torch.Tensor, torch.Tensor, BatchLayout], torch.Tensor]
"""From tokens and positions, [1, number], and the layout to hidden states, [number, size]."""


class CudaGraphs:
    """The CUDA graphs of one network."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        # One stream for all: memory freed on one stream is not reused on another, and each has a workspace.
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._generation = 0
        self._can_record = True
        self.clear()

    def clear(self) -> None:
        """Drops all graphs and frees their memory."""
        self._graphs: dict[tuple[int, bool], _RecordedGraph] = {}
        self._num_seen: Counter[tuple[int, bool]] = Counter()
        self._pool = torch.cuda.graph_pool_handle()

    def run(
        self,
        chunks: Sequence[ScheduledChunk],
        *,
        uses_adapter: bool,
        generation: int,
        forward: ForwardFunction,
    ) -> torch.Tensor | None:
        """Hidden states of the packed tokens, followed by those of the padding; valid until the next run.

        None if no graph computes the batch. `generation`: generation of the KV cache; graphs of another
        generation are dropped.
        """
        if generation != self._generation:
            self.clear()
            self._generation = generation
        tokens = sum(chunk.num_tokens for chunk in chunks)
        if not self._can_record or tokens > GRAPH_SIZES[-1] or not all(map(is_decode_chunk, chunks)):
            return None
        key = (GRAPH_SIZES[bisect_left(GRAPH_SIZES, tokens)], uses_adapter)
        self._num_seen[key] += 1
        if self._num_seen[key] <= _MIN_BATCHES:
            return None
        inputs = torch.tensor(_packed_inputs(chunks, key[0]))
        if key not in self._graphs:
            try:
                self._graphs[key] = self._record(inputs.to(self._device), key[0], forward)
            except RuntimeError as error:
                if is_out_of_memory(error):
                    raise
                log.warning("CUDA graphs are not used: %s", type(error).__name__)
                self._can_record = False
                return None
        recorded = self._graphs[key]
        recorded.inputs.copy_(inputs)
        recorded.graph.replay()
        return recorded.hidden

    def _record(self, inputs: torch.Tensor, size: int, forward: ForwardFunction) -> _RecordedGraph:
        graph_inputs = _split_inputs(inputs, size)
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            forward(*graph_inputs)  # chooses and compiles kernels before the recording
        current.wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            hidden = forward(*graph_inputs)
        return _RecordedGraph(inputs, graph, hidden)


@dataclass(frozen=True, slots=True)
class _RecordedGraph:
    inputs: torch.Tensor
    """The tensor that the graph reads; see `_packed_inputs`."""
    graph: torch.cuda.CUDAGraph
    hidden: torch.Tensor


class _GraphInputs(NamedTuple):
    tokens: torch.Tensor
    positions: torch.Tensor
    layout: BatchLayout


def _packed_inputs(chunks: Sequence[ScheduledChunk], size: int) -> list[int]:
    """All inputs of a graph of `size` tokens: tokens, positions, slots, positions in slots, rows of the
    kernel.

    The last token repeats up to `size`, each time as a chunk of its own, which stores the same keys and
    values. Kernel rows without tokens fill up.
    """
    tokens: list[int] = []
    positions: list[int] = []
    slots: list[int] = []
    slot_positions: list[int] = []
    kernel_rows: list[int] = []
    missing = size - sum(chunk.num_tokens for chunk in chunks)
    last = ScheduledChunk(chunks[-1].sequence, chunks[-1].stop - 1, chunks[-1].stop)
    for chunk in (*chunks, *[last] * missing):
        assert isinstance(chunk.sequence, Continuation)
        kernel_rows += kernel_row(chunk, len(tokens))
        tokens += chunk.sequence.tokens[chunk.start : chunk.stop]
        positions += chunk.sequence.position_ids(chunk.start, chunk.stop)
        slots += [chunk.sequence.slot] * chunk.num_tokens
        slot_positions += range(chunk.start, chunk.stop)
    kernel_rows += [0] * (size * CHUNK_COLUMNS - len(kernel_rows))
    return [*tokens, *positions, *slots, *slot_positions, *kernel_rows]


def _split_inputs(inputs: torch.Tensor, size: int) -> _GraphInputs:
    """Views of the packed inputs, without a copy."""
    tokens, positions, slots, slot_positions, kernel_rows = torch.split(
        inputs, [size] * 4 + [size * CHUNK_COLUMNS]
    )
    layout = BatchLayout(
        (), None, KvWrite((), None, slots, slot_positions), kernel_rows.view(size, CHUNK_COLUMNS)
    )
    return _GraphInputs(tokens[None], positions[None], layout)
