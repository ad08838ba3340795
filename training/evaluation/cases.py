"""Cases for the error pages: gold and answer of one record side by side, with highlights and remarks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Highlight:
    """Characters [start, end) of a side's text."""

    start: int
    end: int
    label: str
    is_right: bool


@dataclass(frozen=True, slots=True)
class Side:
    """A text with its highlights."""

    text: str
    highlights: tuple[Highlight, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """Gold on the left, the answer on the right."""

    title: str
    gold: Side
    predicted: Side
    errors: int
    """Number of errors; a page starts with the cases that have most."""
    remarks: tuple[str, ...] = field(default=())


def segments(side: Side) -> list[tuple[str, Highlight | None]]:
    """The text cut at its highlights. Where two overlap, the later one begins at the end of the earlier."""
    parts: list[tuple[str, Highlight | None]] = []
    offset = 0
    for highlight in sorted(side.highlights, key=lambda highlight: (highlight.start, -highlight.end)):
        start = max(highlight.start, offset)
        if start < highlight.end:
            parts += [(side.text[offset:start], None), (side.text[start : highlight.end], highlight)]
            offset = highlight.end
    parts.append((side.text[offset:], None))
    return [segment for segment in parts if segment[0]]


def worst_first(cases: Iterable[Case]) -> list[Case]:
    """The cases with errors, most errors first, ties in the order of the data."""
    return sorted((case for case in cases if case.errors), key=lambda case: -case.errors)
