"""Word tokens of a text for comparing names: case and white space do not count."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import NamedTuple

_PIECE = re.compile(r"\w+|[^\w\s]")
Words = tuple[str, ...]
"""Words in lower case."""


class CandidateSpan(NamedTuple):
    """Characters [start, end) of a text that may be a mention of a label."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class WordTokens:
    """Word tokens from left to right, with their characters."""

    words: Words
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    @staticmethod
    def of(text: str) -> WordTokens:
        """Tokenizes a text; every character but white space is in one token."""
        found = list(_PIECE.finditer(text))
        return WordTokens(
            tuple(one.group().lower() for one in found),
            tuple(one.start() for one in found),
            tuple(one.end() for one in found),
        )

    def token_range(self, start: int, end: int) -> tuple[int, int]:
        """[first, last) of the tokens that overlap these characters."""
        return bisect_right(self.ends, start), bisect_left(self.starts, end)

    def words_in(self, start: int, end: int) -> Words:
        """The words that overlap these characters."""
        first, last = self.token_range(start, end)
        return self.words[first:last]
