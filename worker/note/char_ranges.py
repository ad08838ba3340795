"""Character ranges: their union, and whether they cover a whole text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from models.answers import Span

_NOT_WHITE = re.compile(r"\S")


def union_of_ranges(ranges: Iterable[Span]) -> tuple[Span, ...]:
    """The same characters as disjoint ranges in order; ranges that touch are merged."""
    united: list[Span] = []
    for span in sorted(ranges, key=lambda span: (span.start, span.end)):
        if united and span.start <= united[-1].end:
            if span.end > united[-1].end:
                united[-1] = Span(start=united[-1].start, end=span.end)
        else:
            united.append(Span(start=span.start, end=span.end))
    return tuple(united)


def covers(text: str, ranges: Sequence[Span]) -> bool:
    """True if every character of the text except white space lies in one of the ranges."""
    position = 0
    for span in union_of_ranges(ranges):
        if _NOT_WHITE.search(text, position, span.start):
            return False
        position = span.end
    return _NOT_WHITE.search(text, position) is None
