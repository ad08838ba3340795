"""Who is next: branches wait in groups, one a call, and the group that was served least goes first.

A note of 12,000 words asks for hundreds of branches in one call; first come first served would let
every short note behind it wait. Urgent groups go before all others. Knows no torch and no text.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from worker.engine.batching.sequences import Continuation

TURN_TOKENS = 4_096
"""What a group gets before others have their turn: most notes are done with in one, in the order they
came, and the cache holds few beginnings at a time."""


@dataclass(slots=True, eq=False)
class _Group:
    waiting: deque[Continuation]
    is_urgent: bool
    served_tokens: int

    @property
    def turn(self) -> tuple[bool, int]:
        return (not self.is_urgent, self.served_tokens // TURN_TOKENS)


class FairQueue:
    """Start-time fair queueing (Goyal, Vin, Cheng 1996) in turns of TURN_TOKENS."""

    def __init__(self) -> None:
        self._groups: list[_Group] = []

    def __len__(self) -> int:
        return sum(len(group.waiting) for group in self._groups)

    def add(self, continuations: Sequence[Continuation], *, is_urgent: bool = False) -> None:
        """One call's branches, in their order."""
        if continuations:
            # Nobody is owed a past: who comes now stands beside the one that was served least.
            served = min((group.served_tokens for group in self._groups), default=0)
            self._groups.append(_Group(deque(continuations), is_urgent, served))

    def first(self) -> Continuation | None:
        """The branch whose turn it is; it stays where it is."""
        return self._next().waiting[0] if self._groups else None

    def charge(self, num_tokens: int) -> None:
        """The group whose turn it is was served so many tokens."""
        self._next().served_tokens += num_tokens

    def take(self) -> Continuation:
        """The first branch goes, at the cost of its tokens."""
        group = self._next()
        continuation = group.waiting.popleft()
        group.served_tokens += len(continuation.tokens)
        if not group.waiting:
            self._groups.remove(group)
        return continuation

    def clear(self) -> None:
        self._groups = []

    def _next(self) -> _Group:
        return min(self._groups, key=lambda group: group.turn)
