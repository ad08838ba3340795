"""A text in words and signs, by which names are compared: case and white space do not count."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import NamedTuple

_PIECE = re.compile(r"\w+|[^\w\s]")
Words = tuple[str, ...]
"""In small letters."""


class Stretch(NamedTuple):
    """Characters [start, end) of a text that may be a mention of a label."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Pieces:
    """From left to right, with the characters they stand on."""

    words: Words
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    @staticmethod
    def of(text: str) -> Pieces:
        """Every character but white space is in one piece."""
        found = list(_PIECE.finditer(text))
        return Pieces(
            tuple(one.group().lower() for one in found),
            tuple(one.start() for one in found),
            tuple(one.end() for one in found),
        )

    def between(self, start: int, end: int) -> tuple[int, int]:
        """[first, last) of the pieces that have any of these characters."""
        return bisect_right(self.ends, start), bisect_left(self.starts, end)

    def read(self, start: int, end: int) -> Words:
        """The words that have any of these characters."""
        first, last = self.between(start, end)
        return self.words[first:last]
