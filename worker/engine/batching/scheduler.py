"""Which tokens of which sequences go through the network next. Knows no torch and no text.

Iteration-level scheduling: sequences join and leave between steps; each step carries the next tokens of
every branch that writes and fills up with beginnings and branches that start, under a budget of tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from worker.engine.batching.fair_queue import FairQueue
from worker.engine.batching.prefix_cache import PrefixCache
from worker.engine.batching.sequences import UNALLOCATED, Continuation, ForwardBatch, Prefix, ScheduledChunk

MAX_FORWARD_TOKENS = 2_048
"""Tokens in one step: enough to keep matrix products busy, few enough that writing goes on."""
BATCHES_UNTIL_INCREASE = 200
"""Steps without running out of memory after which twice as much is tried."""


class Scheduler:
    """Admits branches as their turn comes and there is room for their keys and values."""

    def __init__(self, *, max_rows: int, max_tokens: int) -> None:
        """`max_rows`: branches that write at a time; `max_tokens`: cached tokens of all sequences."""
        self.max_rows = max_rows
        self.max_tokens = max_tokens
        self.running: list[Continuation] = []
        self.prefix_cache = PrefixCache()
        self._queue = FairQueue()

    @property
    def is_idle(self) -> bool:
        return not self.running and not len(self._queue)

    def add(self, continuations: Sequence[Continuation], *, is_urgent: bool = False) -> None:
        """The branches of one call; each holds on to its beginning until it leaves."""
        for continuation in continuations:
            for prefix in continuation.prefixes:
                prefix.num_continuations += 1
        self._queue.add(continuations, is_urgent=is_urgent)

    def schedule(self) -> ForwardBatch:
        """The next step; empty only when nothing waits or runs."""
        chunks = [
            ScheduledChunk(continuation, continuation.num_computed_tokens, len(continuation.tokens))
            for continuation in self.running
        ]
        left = max(MAX_FORWARD_TOKENS - sum(chunk.num_tokens for chunk in chunks), 0)
        reached: dict[Prefix, int] = {}
        while left > 0 and (continuation := self._queue.first()) is not None:
            # Where nothing else goes on, the first goes on whatever the budget says.
            if not self._has_room_for(continuation, reached, is_forced=not chunks):
                break
            unread = (one for one in continuation.prefixes if _reached(one, reached) < len(one.tokens))
            if (prefix := next(unread, None)) is not None:
                start = _reached(prefix, reached)
                reached[prefix] = stop = min(len(prefix.tokens), start + left)
                chunks.append(ScheduledChunk(prefix, start, stop))
                left -= stop - start
                self._queue.charge(stop - start)
            # A branch is never cut: what is decided needs all its own tokens at once.
            elif len(continuation.tokens) <= left or not chunks:
                chunks.append(self._start(self._queue.take()))
                left -= len(continuation.tokens)
            else:
                break
        return ForwardBatch(
            chunks=tuple(chunks),
            shared_tokens=self.prefix_cache.end,
            num_slots=max((continuation.slot + 1 for continuation in self.running), default=0),
            slot_tokens=max((continuation.reserved_tokens for continuation in self.running), default=0),
            copies=self.prefix_cache.take_copies(),
        )

    def leave(self, continuations: Iterable[Continuation]) -> None:
        """Frees the room of branches that are answered."""
        gone = set(continuations)
        self.running = [continuation for continuation in self.running if continuation not in gone]
        for continuation in gone:
            for prefix in continuation.prefixes:
                prefix.num_continuations -= 1
                self.prefix_cache.rest(prefix)

    def drop_all(self) -> None:
        """Forgets everything, after a step that failed."""
        self.running = []
        self._queue.clear()
        self.prefix_cache = PrefixCache()

    def _start(self, continuation: Continuation) -> ScheduledChunk:
        if continuation.is_generated:
            taken = {other.slot for other in self.running}
            continuation.slot = next(slot for slot in range(len(taken) + 1) if slot not in taken)
            self.running.append(continuation)
        return ScheduledChunk(continuation, 0, len(continuation.tokens))

    def _has_room_for(
        self, continuation: Continuation, reached: Mapping[Prefix, int], *, is_forced: bool
    ) -> bool:
        """Makes sure that its beginnings have a place and its own tokens would have one.

        `reached`: how far beginnings will be read after this step.
        """
        rows = len(self.running) + continuation.is_generated
        own_tokens = rows * max((other.reserved_tokens for other in (*self.running, continuation)), default=0)
        if rows > self.max_rows and not is_forced:
            return False
        most = self.max_tokens - own_tokens
        new = [one for one in continuation.prefixes if one.cache_start == UNALLOCATED]
        if new:
            return all(self.prefix_cache.admit(one, most, reached, is_forced=is_forced) for one in new)
        return is_forced or self.prefix_cache.end <= most


@dataclass(slots=True)
class BatchBudget:
    """The plan, and how far a scheduler is from it."""

    max_rows: int
    max_tokens: int
    steps: int = 0
    """Since the last change."""
    is_just_halved: bool = False
    """No step went well since."""

    def halve(self, scheduler: Scheduler) -> None:
        """After the memory ran out."""
        scheduler.max_rows = max(1, scheduler.max_rows // 2)
        scheduler.max_tokens = max(1, scheduler.max_tokens // 2)
        self.steps = 0
        self.is_just_halved = True

    def refused(self) -> None:
        """What did not fit is gone; the next lack of memory is another one's."""
        self.is_just_halved = False

    def went_well(self, scheduler: Scheduler) -> None:
        """After a step that did not run out of memory."""
        self.steps += 1
        self.is_just_halved = False
        if self.steps % BATCHES_UNTIL_INCREASE == 0:
            scheduler.max_rows = min(self.max_rows, scheduler.max_rows * 2)
            scheduler.max_tokens = min(self.max_tokens, scheduler.max_tokens * 2)


def _reached(prefix: Prefix, reached: Mapping[Prefix, int]) -> int:
    return reached.get(prefix, prefix.num_computed_tokens)
