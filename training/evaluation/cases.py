"""What one record's evaluation shows a person: two texts side by side, with marks, and remarks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Mark:
    """Characters [start, end) of a side's text."""

    start: int
    end: int
    label: str
    is_right: bool


@dataclass(frozen=True, slots=True)
class Side:
    """A text and what is marked in it."""

    text: str
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """Gold on the left, found on the right."""

    title: str
    gold: Side
    found: Side
    errors: int
    """How many; a page begins with the worst."""
    remarks: tuple[str, ...] = field(default=())


def pieces(side: Side) -> list[tuple[str, Mark | None]]:
    """The text cut at its marks. A mark inside another, or overlapping one before, begins where that ends."""
    found: list[tuple[str, Mark | None]] = []
    offset = 0
    for mark in sorted(side.marks, key=lambda one: (one.start, -one.end)):
        start = max(mark.start, offset)
        if start < mark.end:
            found += [(side.text[offset:start], None), (side.text[start : mark.end], mark)]
            offset = mark.end
    found.append((side.text[offset:], None))
    return [piece for piece in found if piece[0]]


def worst_first(cases: Iterable[Case]) -> list[Case]:
    """Only those with errors; equal ones in the order of the data."""
    return sorted((case for case in cases if case.errors), key=lambda case: -case.errors)
