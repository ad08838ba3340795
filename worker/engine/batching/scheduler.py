"""Iteration-level scheduler: decides which tokens of which sequences the next batch computes.

Sequences join and leave between batches. A batch holds the next tokens of every continuation that generates,
and fills up with prefixes and with continuations that start, up to a token budget. Does not import torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from worker.engine.batching.fair_queue import FairQueue
from worker.engine.batching.prefix_cache import PrefixCache
from worker.engine.batching.sequences import UNALLOCATED, Continuation, ForwardBatch, Prefix, ScheduledChunk

MAX_FORWARD_TOKENS = 2_048
"""Tokens of one batch: enough for efficient matrix products, few enough that decoding does not stall."""
BATCHES_UNTIL_INCREASE = 200
"""Batches without running out of memory after which a halved budget doubles."""


class Scheduler:
    """Admits continuations in their turn while there is room for their keys and values."""

    def __init__(self, *, max_rows: int, max_tokens: int) -> None:
        """`max_rows`: continuations that generate at a time; `max_tokens`: cached tokens of all sequences."""
        self.max_rows = max_rows
        self.max_tokens = max_tokens
        self.running: list[Continuation] = []
        self.prefix_cache = PrefixCache()
        self._queue = FairQueue()

    @property
    def is_idle(self) -> bool:
        return not self.running and not len(self._queue)

    def add(self, continuations: Sequence[Continuation], *, is_urgent: bool = False) -> None:
        """Queues the continuations of one call; their prefixes stay cached until they are removed."""
        for continuation in continuations:
            for prefix in continuation.prefixes:
                prefix.num_continuations += 1
        self._queue.add(continuations, is_urgent=is_urgent)

    def schedule(self) -> ForwardBatch:
        """The next batch; empty only if the scheduler is idle."""
        chunks = [
            ScheduledChunk(continuation, continuation.num_computed_tokens, len(continuation.tokens))
            for continuation in self.running
        ]
        room = max(MAX_FORWARD_TOKENS - sum(chunk.num_tokens for chunk in chunks), 0)
        reached: dict[Prefix, int] = {}
        while room > 0 and (continuation := self._queue.first()) is not None:
            # An empty batch takes the first continuation regardless of the budget.
            if not self._has_room_for(continuation, reached, is_forced=not chunks):
                break
            incomplete = (
                prefix for prefix in continuation.prefixes if _reached(prefix, reached) < len(prefix.tokens)
            )
            if (prefix := next(incomplete, None)) is not None:
                start = _reached(prefix, reached)
                reached[prefix] = stop = min(len(prefix.tokens), start + room)
                chunks.append(ScheduledChunk(prefix, start, stop))
                room -= stop - start
                self._queue.charge(stop - start)
            # A continuation is never split: scoring needs all its own tokens in one batch.
            elif len(continuation.tokens) <= room or not chunks:
                chunks.append(self._start(self._queue.take()))
                room -= len(continuation.tokens)
            else:
                break
        return ForwardBatch(
            chunks=tuple(chunks),
            shared_tokens=self.prefix_cache.end,
            num_slots=max((continuation.slot + 1 for continuation in self.running), default=0),
            slot_tokens=max((continuation.reserved_tokens for continuation in self.running), default=0),
            copies=self.prefix_cache.take_copies(),
        )

    def remove(self, continuations: Iterable[Continuation]) -> None:
        """Removes finished continuations and releases their prefixes."""
        finished = set(continuations)
        self.running = [continuation for continuation in self.running if continuation not in finished]
        for continuation in finished:
            for prefix in continuation.prefixes:
                prefix.num_continuations -= 1
                self.prefix_cache.release(prefix)

    def drop_all(self) -> None:
        """Drops all sequences and the prefix cache, after a batch that failed."""
        self.running = []
        self._queue.clear()
        self.prefix_cache = PrefixCache()

    def _start(self, continuation: Continuation) -> ScheduledChunk:
        if continuation.is_generated:
            used_slots = {other.slot for other in self.running}
            continuation.slot = next(slot for slot in range(len(used_slots) + 1) if slot not in used_slots)
            self.running.append(continuation)
        return ScheduledChunk(continuation, 0, len(continuation.tokens))

    def _has_room_for(
        self, continuation: Continuation, reached: Mapping[Prefix, int], *, is_forced: bool
    ) -> bool:
        """Allocates its prefixes; False if these or its own tokens do not fit.

        `reached`: tokens of prefixes that are computed after this batch.
        """
        rows = len(self.running) + continuation.is_generated
        own_tokens = rows * max((other.reserved_tokens for other in (*self.running, continuation)), default=0)
        if rows > self.max_rows and not is_forced:
            return False
        max_end = self.max_tokens - own_tokens
        new = [prefix for prefix in continuation.prefixes if prefix.cache_start == UNALLOCATED]
        if new:
            return all(
                self.prefix_cache.admit(prefix, max_end, reached, is_forced=is_forced) for prefix in new
            )
        return is_forced or self.prefix_cache.end <= max_end


@dataclass(slots=True)
class BatchBudget:
    """The planned limits of a scheduler; adapts them after the memory runs out.

    Memory runs out if something else holds some of it for a while, or if the plan was too tight. The first
    passes; the second costs one failed batch in every few hundred.
    """

    max_rows: int
    max_tokens: int
    num_batches: int = 0
    """Batches since the last change."""
    is_just_halved: bool = False
    """True until a batch succeeds after the last halving."""

    def halve(self, scheduler: Scheduler) -> None:
        """Halves the limits, after the memory ran out."""
        scheduler.max_rows = max(1, scheduler.max_rows // 2)
        scheduler.max_tokens = max(1, scheduler.max_tokens // 2)
        self.num_batches = 0
        self.is_just_halved = True

    def request_failed(self) -> None:
        """Call after a request that does not fit has failed, so that the next lack of memory halves again."""
        self.is_just_halved = False

    def succeeded(self, scheduler: Scheduler) -> None:
        """Call after each batch that did not run out of memory; doubles halved limits from time to time."""
        self.num_batches += 1
        self.is_just_halved = False
        if self.num_batches % BATCHES_UNTIL_INCREASE == 0:
            scheduler.max_rows = min(self.max_rows, scheduler.max_rows * 2)
            scheduler.max_tokens = min(self.max_tokens, scheduler.max_tokens * 2)


def _reached(prefix: Prefix, reached: Mapping[Prefix, int]) -> int:
    return reached.get(prefix, prefix.num_computed_tokens)
