"""BM25 (Robertson and Zaragoza 2009) over the sentences of one note, by rank_bm25."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rank_bm25 import BM25Plus

_WORD = re.compile(r"\w+")


def rank(query: str, sentences: Sequence[str]) -> list[float]:
    """A score a sentence; BM25Plus, whose idf is never negative, so that rare notes rank too."""
    index = BM25Plus([_words(sentence) or [""] for sentence in sentences])
    return [float(score) for score in index.get_scores(_words(query))]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
