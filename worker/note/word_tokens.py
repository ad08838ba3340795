"""Word tokens of a text, by which names are compared regardless of case and white space."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import NamedTuple

_TOKEN = re.compile(r"\w+|[^\w\s]")
Words = tuple[str, ...]
"""Words in lower case."""


class CandidateSpan(NamedTuple):
    """A span [start, end) of a text that may be a mention with a label."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class WordTokens:
    """The word tokens of a text from left to right, with their character ranges."""

    words: Words
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    @staticmethod
    def of(text: str) -> WordTokens:
        """Tokenizes a text; every character except white space is in one token."""
        matches = list(_TOKEN.finditer(text))
        return WordTokens(
            tuple(match.group().lower() for match in matches),
            tuple(match.start() for match in matches),
            tuple(match.end() for match in matches),
        )

    def token_range(self, start: int, end: int) -> tuple[int, int]:
        """The range [first, last) of the tokens that overlap the characters [start, end)."""
        return bisect_right(self.ends, start), bisect_left(self.starts, end)

    def words_in(self, start: int, end: int) -> Words:
        """The words that overlap the characters [start, end)."""
        first, last = self.token_range(start, end)
        return self.words[first:last]
