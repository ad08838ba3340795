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
        self.writing: list[Continuation] = []
        self.beginnings = PrefixCache()
        self._queue = FairQueue()

    @property
    def is_idle(self) -> bool:
        return not self.writing and not len(self._queue)

    def add(self, branches: Sequence[Continuation], *, is_urgent: bool = False) -> None:
        """The branches of one call; each holds on to its beginning until it leaves."""
        for branch in branches:
            for beginning in branch.beginnings:
                beginning.num_branches += 1
        self._queue.add(branches, is_urgent=is_urgent)

    def schedule(self) -> ForwardBatch:
        """The next step; empty only when nothing waits or runs."""
        pieces = [
            ScheduledChunk(branch, branch.computed_tokens, len(branch.tokens)) for branch in self.writing
        ]
        left = max(MAX_FORWARD_TOKENS - sum(piece.num_tokens for piece in pieces), 0)
        reached: dict[Prefix, int] = {}
        while left > 0 and (branch := self._queue.first()) is not None:
            # Where nothing else goes on, the first goes on whatever the budget says.
            if not self._has_room_for(branch, reached, is_forced=not pieces):
                break
            unread = (one for one in branch.beginnings if _reached(one, reached) < len(one.tokens))
            if (beginning := next(unread, None)) is not None:
                start = _reached(beginning, reached)
                reached[beginning] = stop = min(len(beginning.tokens), start + left)
                pieces.append(ScheduledChunk(beginning, start, stop))
                left -= stop - start
                self._queue.charge(stop - start)
            # A branch is never cut: what is decided needs all its own tokens at once.
            elif len(branch.tokens) <= left or not pieces:
                pieces.append(self._start(self._queue.take()))
                left -= len(branch.tokens)
            else:
                break
        return ForwardBatch(
            pieces=tuple(pieces),
            shared_tokens=self.beginnings.end,
            num_slots=max((branch.slot + 1 for branch in self.writing), default=0),
            slot_tokens=max((branch.kept_tokens for branch in self.writing), default=0),
            copies=self.beginnings.take_copies(),
        )

    def leave(self, branches: Iterable[Continuation]) -> None:
        """Frees the room of branches that are answered."""
        gone = set(branches)
        self.writing = [branch for branch in self.writing if branch not in gone]
        for branch in gone:
            for beginning in branch.beginnings:
                beginning.num_branches -= 1
                self.beginnings.rest(beginning)

    def drop_all(self) -> None:
        """Forgets everything, after a step that failed."""
        self.writing = []
        self._queue.clear()
        self.beginnings = PrefixCache()

    def _start(self, branch: Continuation) -> ScheduledChunk:
        if branch.is_written:
            taken = {other.slot for other in self.writing}
            branch.slot = next(slot for slot in range(len(taken) + 1) if slot not in taken)
            self.writing.append(branch)
        return ScheduledChunk(branch, 0, len(branch.tokens))

    def _has_room_for(self, branch: Continuation, reached: Mapping[Prefix, int], *, is_forced: bool) -> bool:
        """Makes sure that its beginnings have a place and its own tokens would have one.

        `reached`: how far beginnings will be read after this step.
        """
        rows = len(self.writing) + branch.is_written
        own_tokens = rows * max((other.kept_tokens for other in (*self.writing, branch)), default=0)
        if rows > self.max_rows and not is_forced:
            return False
        most = self.max_tokens - own_tokens
        new = [one for one in branch.beginnings if one.offset == UNALLOCATED]
        if new:
            return all(self.beginnings.admit(one, most, reached, is_forced=is_forced) for one in new)
        return is_forced or self.beginnings.end <= most


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


def _reached(beginning: Prefix, reached: Mapping[Prefix, int]) -> int:
    return reached.get(beginning, beginning.computed_tokens)
