"""Prefix cache: holds each prefix once, while a continuation needs it or as long as there is room.

A prefix that starts like a cached one copies its keys and values (RadixAttention, arXiv 2312.07104, shares
them without a copy). Unused prefixes are evicted least recently used first. Does not import torch.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping, Sequence
from itertools import takewhile

from worker.engine.batching.sequences import UNALLOCATED, CacheCopy, Prefix

MAX_UNUSED_TOKENS = 8_192
"""Tokens of unused prefixes kept for later questions: the second round of a long summary follows at once."""
_MIN_COPIED_TOKENS = 16
"""Common tokens from which a copy pays: fewer than the 28 that our templates have before the document."""
_MIN_AWAITED_TOKENS = 128
"""A prefix waits for the next batch if it can then copy this many more tokens, although that batch may hold
fewer prefixes for it."""

_Key = tuple[bool, int, int, tuple[int, ...]]


class PrefixCache:
    """Finds prefixes by their tokens, allocates cache space for them, and evicts the least recently used."""

    def __init__(self) -> None:
        self._prefixes: dict[_Key, Prefix] = {}
        self._allocator = SlotAllocator()
        self._copies: list[CacheCopy] = []

    @property
    def end(self) -> int:
        """Length in tokens of the shared cache that holds all prefixes."""
        return self._allocator.end

    @property
    def allocated(self) -> set[Prefix]:
        """The prefixes with space in the cache, used or unused."""
        return {prefix for prefix in self._prefixes.values() if prefix.cache_start != UNALLOCATED}

    def find(
        self, tokens: Sequence[int], *, uses_adapter: bool, head_tokens: int = 0, start_position: int = 0
    ) -> Prefix:
        """The known prefix with these tokens, or a new one."""
        prefix = Prefix(tuple(tokens), uses_adapter, head_tokens, start_position)
        return self._prefixes.setdefault(_key(prefix), prefix)

    def admit(self, prefix: Prefix, max_end: int, reached: Mapping[Prefix, int], *, is_forced: bool) -> bool:
        """Allocates space that ends at `max_end` at most, evicting unused prefixes.

        Returns False if there is no space, or if another prefix in this batch computes many of its tokens,
        which it can copy afterwards. `reached`: tokens of prefixes that are computed after this batch;
        `is_forced`: allocates in any case.
        """
        needed = len(prefix.tokens)
        while self._end_with(needed) > max_end and self._evict_one():
            pass
        if self._end_with(needed) > max_end and not is_forced:
            return False
        source, num_copied, num_copied_later = self._longest_match(prefix, reached)
        if num_copied_later - num_copied >= _MIN_AWAITED_TOKENS and not is_forced:
            return False
        prefix.cache_start = self._allocator.allocate(needed)
        if source is not None and num_copied >= _MIN_COPIED_TOKENS:
            self._copies.append(CacheCopy(source.cache_start, prefix.cache_start, num_copied))
            prefix.num_computed_tokens = num_copied
        return True

    def take_copies(self) -> tuple[CacheCopy, ...]:
        """The copies to make since the last call, in order."""
        copies, self._copies = tuple(self._copies), []
        return copies

    def release(self, prefix: Prefix) -> None:
        """Call after a continuation has left the prefix; an unused prefix becomes the most recently used."""
        key = _key(prefix)
        if prefix.num_continuations == 0 and self._prefixes.get(key) is prefix:
            del self._prefixes[key]
            if prefix.is_computed:
                self._prefixes[key] = prefix
            elif prefix.cache_start != UNALLOCATED:
                self._free(prefix)
            while sum(len(unused.tokens) for unused in self._unused()) > MAX_UNUSED_TOKENS:
                self._evict_one()

    def evict_unused(self) -> None:
        """Evicts all prefixes that no continuation needs."""
        while self._evict_one():
            pass

    def _longest_match(self, prefix: Prefix, reached: Mapping[Prefix, int]) -> tuple[Prefix | None, int, int]:
        """The cached prefix with the longest common start, how many of these tokens are computed now, and how
        many tokens of any common start will be computed after this batch."""
        source, num_copied, num_copied_later = None, 0, 0
        for other in self._prefixes.values():
            if other.cache_start != UNALLOCATED and other.uses_adapter == prefix.uses_adapter:
                pairs = zip(other.tokens, prefix.tokens, strict=False)
                num_equal = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
                shared = min(num_equal, _num_equal_positions(other, prefix))
                computed = min(shared, other.num_computed_tokens)
                source, num_copied = (other, computed) if computed > num_copied else (source, num_copied)
                num_copied_later = max(num_copied_later, min(shared, reached.get(other, computed)))
        return source, num_copied, num_copied_later

    def _end_with(self, num_tokens: int) -> int:
        return max(self._allocator.end, self._allocator.first_fit(num_tokens) + num_tokens)

    def _unused(self) -> list[Prefix]:
        return [
            prefix
            for prefix in self._prefixes.values()
            if prefix.num_continuations == 0 and prefix.cache_start != UNALLOCATED
        ]

    def _evict_one(self) -> bool:
        for oldest in self._unused()[:1]:
            del self._prefixes[_key(oldest)]
            self._free(oldest)
            return True
        return False

    def _free(self, prefix: Prefix) -> None:
        self._allocator.free(prefix.cache_start)
        prefix.cache_start, prefix.num_computed_tokens = UNALLOCATED, 0


class SlotAllocator:
    """Allocates runs of cache tokens, first fit at the lowest offset, which keeps the cache short."""

    def __init__(self) -> None:
        self._allocated: list[tuple[int, int]] = []

    @property
    def end(self) -> int:
        """The end of the last allocated run: the length that the cache needs."""
        return self._allocated[-1][1] if self._allocated else 0

    def first_fit(self, num_tokens: int) -> int:
        """The offset at which `num_tokens` would be allocated."""
        offset = 0
        for start, end in self._allocated:
            if start - offset >= num_tokens:
                break
            offset = end
        return offset

    def allocate(self, num_tokens: int) -> int:
        """Allocates a run of `num_tokens`; returns its offset."""
        offset = self.first_fit(num_tokens)
        insort(self._allocated, (offset, offset + num_tokens))
        return offset

    def free(self, offset: int) -> None:
        """Frees the run that starts at `offset`."""
        self._allocated = [run for run in self._allocated if run[0] != offset]


def _key(prefix: Prefix) -> _Key:
    return prefix.uses_adapter, prefix.head_tokens, prefix.start_position, prefix.tokens


def _num_equal_positions(prefix: Prefix, other: Prefix) -> int:
    """Number of first tokens that have the same positions in both prefixes."""
    if (prefix.head_tokens, prefix.start_position) == (other.head_tokens, other.start_position):
        return len(prefix.tokens)
    return min(each.head_tokens or len(each.tokens) for each in (prefix, other))
