"""The documents in the cache: each is there once, stays while a branch needs it, and then as long as
there is room, for questions that come later. One that starts as another takes its keys and values over
(as RadixAttention, arXiv 2312.07104, shares them; here by a copy). Knows no torch and no text.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping, Sequence
from itertools import takewhile

from worker.engine.batching.sequences import UNALLOCATED, CacheCopy, Prefix

MAX_UNUSED_TOKENS = 8_192
"""Tokens kept for questions that may come later; the second round of a long summary comes at once."""
_WORTH_COPYING = 16
"""Tokens that two beginnings have in common: at least what our templates have before the document, 28."""
_WORTH_WAITING = 128
"""Tokens that are read in this step and need not be read again in the next, which may hold fewer for it."""


_Key = tuple[bool, int, int, tuple[int, ...]]


class PrefixCache:
    """Finds beginnings by their tokens, gives them places, and lets the longest unused go first."""

    def __init__(self) -> None:
        self._known: dict[_Key, Prefix] = {}
        self._stretches = SlotAllocator()
        self._copies: list[CacheCopy] = []

    @property
    def end(self) -> int:
        """Length of the shared cache that holds them all."""
        return self._stretches.end

    @property
    def placed(self) -> set[Prefix]:
        """Those that have a place in it, needed or resting."""
        return {one for one in self._known.values() if one.cache_start != UNALLOCATED}

    def find(
        self, tokens: Sequence[int], *, uses_adapter: bool, head_tokens: int = 0, start_position: int = 0
    ) -> Prefix:
        """The one with these tokens, read already or new."""
        one = Prefix(tuple(tokens), uses_adapter, head_tokens, start_position)
        return self._known.setdefault(_key(one), one)

    def admit(self, prefix: Prefix, max_end: int, reached: Mapping[Prefix, int], *, is_forced: bool) -> bool:
        """Gives it a place that ends at `max_end` at most, forgetting what rests; False where there is none,
        or where much of it is being read.

        `reached`: how far beginnings will be read after this step; `is_forced`: it gets a place anyway.
        """
        needed = len(prefix.tokens)
        while self._end_with(needed) > max_end and self._forget_one():
            pass
        if self._end_with(needed) > max_end and not is_forced:
            return False
        like, num_tokens, soon = self._most_alike(prefix, reached)
        if soon - num_tokens >= _WORTH_WAITING and not is_forced:
            return False
        prefix.cache_start = self._stretches.take(needed)
        if like is not None and num_tokens >= _WORTH_COPYING:
            self._copies.append(CacheCopy(like.cache_start, prefix.cache_start, num_tokens))
            prefix.num_computed_tokens = num_tokens
        return True

    def take_copies(self) -> tuple[CacheCopy, ...]:
        """What was taken over since the last call, in order."""
        taken, self._copies = tuple(self._copies), []
        return taken

    def rest(self, prefix: Prefix) -> None:
        """A branch left it; where it was the last, the beginning is the next but newest to be forgotten."""
        key = _key(prefix)
        if prefix.num_continuations == 0 and self._known.get(key) is prefix:
            del self._known[key]
            if prefix.is_computed:
                self._known[key] = prefix
            elif prefix.cache_start != UNALLOCATED:
                self._free(prefix)
            while sum(len(one.tokens) for one in self._resting()) > MAX_UNUSED_TOKENS:
                self._forget_one()

    def forget_resting(self) -> None:
        """All that no branch needs now."""
        while self._forget_one():
            pass

    def _most_alike(self, prefix: Prefix, reached: Mapping[Prefix, int]) -> tuple[Prefix | None, int, int]:
        """One in the cache that starts as this one, how many tokens that are read already they share, and how
        many tokens of this one will have been read after this step."""
        like, most, soon = None, 0, 0
        for other in self._known.values():
            if other.cache_start != UNALLOCATED and other.uses_adapter == prefix.uses_adapter:
                pairs = zip(other.tokens, prefix.tokens, strict=False)
                alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
                shared = min(alike, _standing_alike(other, prefix))
                read = min(shared, other.num_computed_tokens)
                like, most = (other, read) if read > most else (like, most)
                soon = max(soon, min(shared, reached.get(other, read)))
        return like, most, soon

    def _end_with(self, num_tokens: int) -> int:
        return max(self._stretches.end, self._stretches.place_for(num_tokens) + num_tokens)

    def _resting(self) -> list[Prefix]:
        return [
            one
            for one in self._known.values()
            if one.num_continuations == 0 and one.cache_start != UNALLOCATED
        ]

    def _forget_one(self) -> bool:
        for oldest in self._resting()[:1]:
            del self._known[_key(oldest)]
            self._free(oldest)
            return True
        return False

    def _free(self, prefix: Prefix) -> None:
        self._stretches.give_back(prefix.cache_start)
        prefix.cache_start, prefix.num_computed_tokens = UNALLOCATED, 0


class SlotAllocator:
    """First fit at the lowest offset, so that what is in use stays together and the cache stays short."""

    def __init__(self) -> None:
        self._taken: list[tuple[int, int]] = []

    @property
    def end(self) -> int:
        """The first token behind all that is taken: how long the cache has to be."""
        return self._taken[-1][1] if self._taken else 0

    def place_for(self, num_tokens: int) -> int:
        """Where so many tokens would lie; nothing is taken yet."""
        offset = 0
        for start, end in self._taken:
            if start - offset >= num_tokens:
                break
            offset = end
        return offset

    def take(self, num_tokens: int) -> int:
        """The offset of a stretch that is now taken."""
        offset = self.place_for(num_tokens)
        insort(self._taken, (offset, offset + num_tokens))
        return offset

    def give_back(self, offset: int) -> None:
        """Frees the stretch that begins there."""
        self._taken = [one for one in self._taken if one[0] != offset]


def _key(prefix: Prefix) -> _Key:
    return prefix.uses_adapter, prefix.head_tokens, prefix.start_position, prefix.tokens


def _standing_alike(one: Prefix, other: Prefix) -> int:
    """So many first tokens of both stand at the same places."""
    if (one.head_tokens, one.start_position) == (other.head_tokens, other.start_position):
        return len(one.tokens)
    return min(each.head_tokens or len(each.tokens) for each in (one, other))
