"""Alignment of a list with a text: selects one occurrence of each item so that the order of the list is kept.

Dynamic programming over the occurrences, with a tree of suffix maxima: O(n log n).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Occurrence:
    """An occurrence [start, end) of the surface of an item in the text."""

    start: int
    end: int
    score: float
    """How well the text matches the surface, 0 to 1."""


def align_in_order(
    occurrences: Sequence[Sequence[Occurrence]], indexes: Sequence[int]
) -> dict[int, Occurrence]:
    """One occurrence of each item, in the order of the items and with the greatest sum of scores.

    Of equal sums, the earliest occurrences win; items without an occurrence in order are left out. Different
    surfaces may begin at the same character, equal surfaces may not. `occurrences`: those of each item;
    `indexes`: the items to align. Returns occurrences by index. Computed from the last item to the first.
    """
    positions = sorted({occurrence.start for i in indexes for occurrence in occurrences[i]})
    maxima = _SuffixMaximum(len(positions))
    best: dict[int, list[float]] = {}
    at_position: dict[int, dict[int, float]] = defaultdict(dict)
    for i in reversed(indexes):
        best[i] = []
        for occurrence in occurrences[i]:
            rank = bisect_left(positions, occurrence.start)
            later = maxima.from_position(rank + 1)
            same = max(
                (value for end, value in at_position[rank].items() if end != occurrence.end), default=0.0
            )
            best[i].append(occurrence.score + max(later, same))
        for occurrence, value in zip(occurrences[i], best[i], strict=True):
            rank = bisect_left(positions, occurrence.start)
            maxima.raise_to(rank, value)
            at_position[rank][occurrence.end] = max(value, at_position[rank].get(occurrence.end, 0.0))
    aligned: dict[int, Occurrence] = {}
    remaining = maxima.from_position(0)
    previous: Occurrence | None = None
    for i in indexes:
        for occurrence, value in zip(occurrences[i], best[i], strict=True):
            follows = previous is None or occurrence.start > previous.start
            follows = follows or (
                previous is not None and occurrence.start == previous.start and occurrence.end != previous.end
            )
            if follows and abs(value - remaining) < 1e-6:
                aligned[i], previous, remaining = occurrence, occurrence, remaining - occurrence.score
                break
    return aligned


class _SuffixMaximum:
    """Maximum of the values at or after a position: a Fenwick tree over reversed positions."""

    def __init__(self, size: int) -> None:
        self._maxima = [0.0] * (size + 1)
        self._size = size

    def raise_to(self, position: int, value: float) -> None:
        """Raises the value at a position to at least `value`."""
        node = self._size - position
        while node <= self._size:
            self._maxima[node] = max(self._maxima[node], value)
            node += node & -node

    def from_position(self, position: int) -> float:
        """The maximum at or after a position; 0 if there is none."""
        node, value = self._size - position, 0.0
        while node > 0:
            value = max(value, self._maxima[node])
            node -= node & -node
        return value
