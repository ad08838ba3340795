"""Sourced phrases: words of the note with their sentence, of which extractive summaries consist."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from models.answers import Span

LIST_NUMBER = re.compile(r"^\d{1,2}[.)](?:\s+|(?=[A-Z]))")
"""The number of an item at the start of a line."""
_Key = TypeVar("_Key", int, Span)


@dataclass(frozen=True, slots=True)
class SourcedPhrase:
    """Words of the note, and the sentence that contains them."""

    text: str
    source: Span


def within_word_limit(
    ranked: Iterable[tuple[_Key, SourcedPhrase]], max_words: int
) -> list[tuple[_Key, SourcedPhrase]]:
    """The pairs of sort key and phrase whose phrases fit, taken greedily in the given order."""
    fitting, words_left = [], max_words
    for key, phrase in ranked:
        if count_words(phrase) <= words_left:
            fitting.append((key, phrase))
            words_left -= count_words(phrase)
    return fitting


def count_words(phrase: SourcedPhrase) -> int:
    """Number of words of a phrase."""
    return len(phrase.text.split())


def one_line(text: str) -> str:
    """The text on one line, without a list number before it and without commas after it."""
    return LIST_NUMBER.sub("", " ".join(text.split())).rstrip(" ,")
