"""Cases for people: gold and answer of one record side by side, with marks and remarks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CaseMark:
    """Characters [start, end) of a side's text."""

    start: int
    end: int
    label: str
    is_right: bool


@dataclass(frozen=True, slots=True)
class Side:
    """A text with its marks."""

    text: str
    marks: tuple[CaseMark, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """Gold on the left, the answer on the right."""

    title: str
    gold: Side
    found: Side
    errors: int
    """Number of errors; a page begins with the worst."""
    remarks: tuple[str, ...] = field(default=())


def pieces(side: Side) -> list[tuple[str, CaseMark | None]]:
    """The text cut at its marks. A mark inside or overlapping another begins where that ends."""
    found: list[tuple[str, CaseMark | None]] = []
    offset = 0
    for mark in sorted(side.marks, key=lambda one: (one.start, -one.end)):
        start = max(mark.start, offset)
        if start < mark.end:
            found += [(side.text[offset:start], None), (side.text[start : mark.end], mark)]
            offset = mark.end
    found.append((side.text[offset:], None))
    return [piece for piece in found if piece[0]]


def worst_first(cases: Iterable[Case]) -> list[Case]:
    """Cases with errors, worst first; equal ones in the order of the data."""
    return sorted((case for case in cases if case.errors), key=lambda case: -case.errors)
