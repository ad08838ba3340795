"""Fair queue: continuations wait in groups, one group a call; the least-served group goes first.

A note of 12,000 words asks for hundreds of continuations in one call; first come, first served would make
every short note behind it wait. Urgent groups go before all others. Does not import torch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from worker.engine.batching.sequences import Continuation

TURN_TOKENS = 4_096
"""Tokens that a group gets before the next group's turn: most notes finish in one turn, in order of arrival,
so that the cache holds few prefixes at a time."""


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
        """Adds the continuations of one call, in their order."""
        if continuations:
            # A new group starts level with the least-served one: it has no claim for time before it came.
            least_served_tokens = min((group.served_tokens for group in self._groups), default=0)
            self._groups.append(_Group(deque(continuations), is_urgent, least_served_tokens))

    def first(self) -> Continuation | None:
        """The continuation whose turn it is; it stays in the queue."""
        return self._next().waiting[0] if self._groups else None

    def charge(self, num_tokens: int) -> None:
        """Counts tokens served to the group whose turn it is."""
        self._next().served_tokens += num_tokens

    def take(self) -> Continuation:
        """Removes the continuation whose turn it is and charges its tokens to its group."""
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
