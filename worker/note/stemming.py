"""Stems of content words, by which texts are compared. Drops stop words and common English suffixes."""

from __future__ import annotations

import re
from functools import lru_cache

from worker.note.word_boundaries import word_set

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?|[A-Za-z]{0,3}\d+(?:[.,]\d+)*|[^\W\d_]")
_HAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_STOP = word_set(
    """
    a an and are as at be been being both but by can could did do does each for from had has have he her
    hers him his i if in into is it its may might more most of on or our per she should so some such
    than that the their them then there these they this those to under up upon very was we were what
    when which while who will with would you your patient pt patients no not nor without none denies
    denied deny negative absent never
    """
)
_SUFFIXES = ("ations", "ation", "ingly", "edly", "ing", "ies", "ied", "ed", "es", "ly", "s", "e")


def content_stems(text: str) -> list[str]:
    """The stems of content words without repeats; numbers unchanged, Han and kana as pairs of characters."""
    stems: dict[str, None] = {}
    for match in _WORD.finditer(text.lower()):
        word = match.group().replace("’", "'").removesuffix("'s")
        if _HAN.search(word):
            stems.update(dict.fromkeys(word[i : i + 2] for i in range(max(1, len(word) - 1))))
        elif word.isdigit():
            stems[word] = None
        elif word not in _STOP and len(word) > 1:
            stems[_stem(word)] = None
    return list(stems)


@lru_cache(maxsize=16_384)
def _stem(word: str) -> str:
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 4:
            stem = word.removesuffix(suffix)
            return stem + "y" if suffix in ("ies", "ied") else stem.rstrip("e")
    return word
