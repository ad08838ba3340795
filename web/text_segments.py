"""A note cut into segments, each with the mention that covers it and the sentences that rest on it.

Pure; offsets stay those of the note. Mentions may overlap: a segment shows the shortest that covers it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Protocol


class TextSpan(Protocol):
    """Anything with a start and an end in the note."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


@dataclass(frozen=True, slots=True)
class HighlightTarget:
    """Characters that are highlighted when the item with this key is pointed at."""

    key: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SegmentLeaf:
    """Characters with the same mention and the same highlights."""

    start: int
    text: str
    keys: tuple[str, ...]
    is_anchor: bool
    """True where a highlight begins here."""


@dataclass(frozen=True, slots=True)
class TextSegment:
    """Adjacent leaves in one mention, or in none."""

    mark: int | None
    """Index of the mention among those given."""
    leaves: tuple[SegmentLeaf, ...]
    is_first: bool
    """True for the first segment of its mention; a mention with another inside has several."""
    is_last: bool


def pieces(text: str, marks: Sequence[TextSpan], lights: Sequence[HighlightTarget]) -> list[TextSegment]:
    """The whole note in order: the texts of all leaves together are the note."""
    covered = _covered(text, marks, lights)
    runs = [(mark, list(group)) for mark, group in groupby(covered, key=lambda leaf: leaf[0])]
    firsts: dict[int | None, int] = {}
    lasts = {mark: place for place, (mark, _) in enumerate(runs)}
    for place, (mark, _) in enumerate(runs):
        firsts.setdefault(mark, place)
    return [
        TextSegment(mark, tuple(leaf for _, leaf in run), firsts[mark] == place, lasts[mark] == place)
        for place, (mark, run) in enumerate(runs)
    ]


def _covered(
    text: str, marks: Sequence[TextSpan], lights: Sequence[HighlightTarget]
) -> list[tuple[int | None, SegmentLeaf]]:
    """Each leaf with the shortest mention over it, by one sweep: a long note has thousands of both."""
    begins: dict[int, list[int]] = defaultdict(list)
    kindled: dict[int, list[HighlightTarget]] = defaultdict(list)
    for place, mark in enumerate(marks):
        begins[mark.start].append(place)
    for light in lights:
        kindled[light.start].append(light)
    cuts = {0, len(text)} | {edge for span in (*marks, *lights) for edge in (span.start, span.end)}
    open_marks: list[int] = []
    open_lights: list[HighlightTarget] = []
    leaves = []
    for start, end in pairwise(sorted(cuts)):
        open_marks = [index for index in open_marks if marks[index].end > start] + begins[start]
        open_lights = [light for light in open_lights if light.end > start] + kindled[start]
        shortest = min(
            open_marks, key=lambda index: (marks[index].end - marks[index].start, index), default=None
        )
        keys = tuple(dict.fromkeys(light.key for light in open_lights))
        leaves.append((shortest, SegmentLeaf(start, text[start:end], keys, bool(kindled[start]))))
    return leaves
