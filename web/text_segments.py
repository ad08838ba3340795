"""A note cut into segments, each with the mention that covers it and the highlights that include it.

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

    span_index: int | None
    """Index of the mention among those given."""
    leaves: tuple[SegmentLeaf, ...]
    is_first: bool
    """True for the first segment of its mention; a mention with another inside has several."""
    is_last: bool


def segments_of(
    text: str, spans: Sequence[TextSpan], highlights: Sequence[HighlightTarget]
) -> list[TextSegment]:
    """The whole note in order: the texts of all leaves together are the note."""
    covered = _covered(text, spans, highlights)
    groups = [(index, list(group)) for index, group in groupby(covered, key=lambda leaf: leaf[0])]
    firsts: dict[int | None, int] = {}
    lasts = {index: number for number, (index, _) in enumerate(groups)}
    for number, (index, _) in enumerate(groups):
        firsts.setdefault(index, number)
    return [
        TextSegment(index, tuple(leaf for _, leaf in group), firsts[index] == number, lasts[index] == number)
        for number, (index, group) in enumerate(groups)
    ]


def _covered(
    text: str, spans: Sequence[TextSpan], highlights: Sequence[HighlightTarget]
) -> list[tuple[int | None, SegmentLeaf]]:
    """The leaves, each with the shortest mention over it, by one sweep: a long note has thousands of both."""
    begins: dict[int, list[int]] = defaultdict(list)
    starting_highlights: dict[int, list[HighlightTarget]] = defaultdict(list)
    for number, span in enumerate(spans):
        begins[span.start].append(number)
    for highlight in highlights:
        starting_highlights[highlight.start].append(highlight)
    cuts = {0, len(text)} | {edge for span in (*spans, *highlights) for edge in (span.start, span.end)}
    open_spans: list[int] = []
    open_highlights: list[HighlightTarget] = []
    leaves = []
    for start, end in pairwise(sorted(cuts)):
        open_spans = [index for index in open_spans if spans[index].end > start] + begins[start]
        open_highlights = [
            highlight for highlight in open_highlights if highlight.end > start
        ] + starting_highlights[start]
        shortest = min(
            open_spans, key=lambda index: (spans[index].end - spans[index].start, index), default=None
        )
        keys = tuple(dict.fromkeys(highlight.key for highlight in open_highlights))
        leaves.append((shortest, SegmentLeaf(start, text[start:end], keys, bool(starting_highlights[start]))))
    return leaves
