"""Grounds written mentions of a generated list in the note.

Mentions are written in reading order: among the positions where a surface occurs, an alignment that keeps the
order of the list selects the intended one. No mention is placed inside another word.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from models.answers import Span
from worker.note.char_ranges import covers, union_of_ranges
from worker.note.word_boundaries import is_hyphenated, is_whole

__all__ = ["GroundedMention", "Grounding", "ListItem", "covers", "ground", "union_of_ranges", "with_repeats"]

_EXACT, _HYPHENED, _LOOSE = 1.0, 0.9, 0.8
"""Score of a position in the alignment; two loose ones outweigh an exact one."""
_HAS_ONE_ORDER = 0.9
"""A list grouped by label is ordered within each label only: where one order places less than this share of
what an order for each label places, labels are aligned separately."""


@dataclass(frozen=True, slots=True)
class ListItem:
    """A mention as written."""

    label: str
    surface: str


@dataclass(frozen=True, slots=True)
class GroundedMention:
    """A grounded mention: [start, end) of the text."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Grounding:
    """The result of `ground`: disjoint, in order of the text."""

    mentions: tuple[GroundedMention, ...]
    ungrounded: tuple[int, ...]
    """Indexes of items that do not occur in the window, or only where another item stands."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    start: int
    end: int
    score: float


def ground(text: str, window: Span, items: Sequence[ListItem]) -> Grounding:
    """Grounds each item at the intended position in text[window.start:window.end]. Of overlapping mentions
    the longest stays; overlapping mentions of one label become one."""
    found = {surface: _occurrences(text, window, surface) for surface in {item.surface for item in items}}
    candidates = [found[item.surface] for item in items]
    chosen = _in_order(candidates, list(range(len(items))))
    by_label: dict[str, list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        by_label[item.label].append(index)
    apart = {
        index: ground for group in by_label.values() for index, ground in _in_order(candidates, group).items()
    }
    if len(chosen) < _HAS_ONE_ORDER * len(apart):
        chosen = apart
    _place_the_rest(items, candidates, chosen)
    placed = _disjoint(
        GroundedMention(chosen[i].start, chosen[i].end, items[i].label) for i in sorted(chosen)
    )
    return Grounding(mentions=placed, ungrounded=tuple(i for i in range(len(items)) if i not in chosen))


def with_repeats(text: str, window: Span, placed: Sequence[GroundedMention]) -> tuple[GroundedMention, ...]:
    """`placed` and every further occurrence of the same surfaces in the window, under the label each has
    most often. Capitals are ignored unless the surface has a capital after its first letter ("PT", "pH");
    single characters and plain numbers stay where they were placed."""
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    surfaces: dict[str, str] = {}
    for mention in placed:
        surface = text[mention.start : mention.end]
        if len(surface) > 1 and not surface.isdecimal():
            surfaces.setdefault(_folded(surface), surface)
            labels[_folded(surface)][mention.label] += 1
    further = []
    for folded in sorted(surfaces, key=lambda folded: (-len(folded), folded)):
        for candidate in _occurrences(text, window, surfaces[folded]):
            is_same = _folded(text[candidate.start : candidate.end]) == folded
            if is_same and not is_hyphenated(text, candidate.start, candidate.end):
                further.append(
                    GroundedMention(candidate.start, candidate.end, labels[folded].most_common(1)[0][0])
                )
    return _fill(placed, further)


def _occurrences(text: str, window: Span, surface: str) -> list[_Candidate]:
    """Occurrences in order: equal but for case and white space, at word boundaries, inside the window."""
    pattern = _loose_pattern(surface)
    if pattern is None:
        return []
    found = []
    offset = window.start
    while match := pattern.search(text, offset, window.end):
        offset = match.start() + 1
        start, end = match.span()
        if not is_whole(text, start, end):
            continue
        loose = match.group() != surface
        score = _LOOSE if loose else _HYPHENED if is_hyphenated(text, start, end) else _EXACT
        found.append(_Candidate(start, end, score))
    return found


def _loose_pattern(surface: str) -> re.Pattern[str] | None:
    """A pattern of the surface with any white space where it has some, required only between two letters."""
    parts = surface.split()
    if not parts:
        return None
    pattern = re.escape(parts[0])
    for left, right in pairwise(parts):
        is_needed = left[-1].isalpha() and right[0].isalpha()
        pattern += (r"\s+" if is_needed else r"\s*") + re.escape(right)
    return re.compile(pattern, re.IGNORECASE)


def _in_order(candidates: Sequence[Sequence[_Candidate]], indexes: Sequence[int]) -> dict[int, _Candidate]:
    """The places that keep the order of the items and are worth most together; of equals, the earliest.

    Dynamic programming from the last item to the first over a tree of best sums by position, O(n log n)
    in the number of candidates. Different surfaces may begin at the same character, equal ones may not.
    """
    positions = sorted({c.start for i in indexes for c in candidates[i]})
    tree = _BestFrom(len(positions))
    best: dict[int, list[float]] = {}
    at_position: dict[int, dict[int, float]] = defaultdict(dict)
    for i in reversed(indexes):
        best[i] = []
        for candidate in candidates[i]:
            rank = bisect_left(positions, candidate.start)
            later = tree.best(rank + 1)
            same = max(
                (value for end, value in at_position[rank].items() if end != candidate.end), default=0.0
            )
            best[i].append(candidate.score + max(later, same))
        for candidate, value in zip(candidates[i], best[i], strict=True):
            rank = bisect_left(positions, candidate.start)
            tree.put(rank, value)
            at_position[rank][candidate.end] = max(value, at_position[rank].get(candidate.end, 0.0))
    chosen: dict[int, _Candidate] = {}
    wanted = tree.best(0)
    after: _Candidate | None = None
    for i in indexes:
        for candidate, value in zip(candidates[i], best[i], strict=True):
            follows = after is None or candidate.start > after.start
            follows = follows or (
                after is not None and candidate.start == after.start and candidate.end != after.end
            )
            if follows and abs(value - wanted) < 1e-6:
                chosen[i], after, wanted = candidate, candidate, wanted - candidate.score
                break
    return chosen


class _BestFrom:
    """The greatest value at a position or after it (a Fenwick tree over reversed positions)."""

    def __init__(self, size: int) -> None:
        self._values = [0.0] * (size + 1)
        self._size = size

    def put(self, position: int, value: float) -> None:
        node = self._size - position
        while node <= self._size:
            self._values[node] = max(self._values[node], value)
            node += node & -node

    def best(self, position: int) -> float:
        node, value = self._size - position, 0.0
        while node > 0:
            value = max(value, self._values[node])
            node -= node & -node
        return value


def _place_the_rest(
    items: Sequence[ListItem], candidates: Sequence[Sequence[_Candidate]], chosen: dict[int, _Candidate]
) -> None:
    """Places items out of order at the free occurrence nearest to the item written before."""
    taken = {(c.start, c.end) for c in chosen.values()}
    position = 0
    for i in range(len(items)):
        if i not in chosen:
            free = [c for c in candidates[i] if (c.start, c.end) not in taken]
            if not free:
                continue
            chosen[i] = min(free, key=lambda c: (abs(c.start - position), c.start))
            taken.add((chosen[i].start, chosen[i].end))
        position = chosen[i].start


def _disjoint(mentions: Iterable[GroundedMention]) -> tuple[GroundedMention, ...]:
    merged: list[GroundedMention] = []
    by_label: dict[str, list[GroundedMention]] = defaultdict(list)
    for mention in mentions:
        by_label[mention.label].append(mention)
    for label, group in by_label.items():
        spans = _united(group)
        merged.extend(GroundedMention(start, end, label) for start, end in spans)
    return _fill((), sorted(merged, key=lambda m: (m.start - m.end, m.start)))


def _united(mentions: Iterable[GroundedMention]) -> list[tuple[int, int]]:
    """Merges ranges that share characters; mentions that only touch stay separate."""
    united: list[tuple[int, int]] = []
    for mention in sorted(mentions, key=lambda m: (m.start, m.end)):
        if united and mention.start < united[-1][1]:
            united[-1] = (united[-1][0], max(united[-1][1], mention.end))
        else:
            united.append((mention.start, mention.end))
    return united


def _fill(
    placed: Sequence[GroundedMention], further: Iterable[GroundedMention]
) -> tuple[GroundedMention, ...]:
    """`placed` and those of `further` that overlap nothing before them, in order of the text."""
    kept = sorted(placed, key=lambda m: m.start)
    starts = [m.start for m in kept]
    for mention in further:
        index = bisect_left(starts, mention.start)
        is_free = (index == 0 or kept[index - 1].end <= mention.start) and (
            index == len(kept) or kept[index].start >= mention.end
        )
        if is_free:
            kept.insert(index, mention)
            starts.insert(index, mention.start)
    return tuple(kept)


def _folded(surface: str) -> str:
    """The surface without white space, and without case unless it is an abbreviation."""
    joined = " ".join(surface.split())
    return (
        joined
        if any(letter.isupper() for letter in joined[1:]) and not _is_shouted(joined)
        else joined.lower()
    )


def _is_shouted(surface: str) -> bool:
    """True for capitals longer than an abbreviation: a heading's "CHEST PAIN"."""
    return surface.isupper() and (" " in surface or len(surface) > 4)
