"""BM25 (Robertson and Zaragoza 2009) over the sentences of one note, by rank_bm25."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rank_bm25 import BM25Plus

_WORD = re.compile(r"\w+")


def rank(query: str, sentences: Sequence[str]) -> list[float]:
    """One score for each sentence, 0 where it shares no word with the query.

    BM25Plus has no negative idf; with BM25 a word in half of a short note's sentences would count against
    them. Its delta, which every sentence gets, is subtracted, so that one threshold suits all queries.
    """
    words = _words(query)
    index = BM25Plus([_words(sentence) or [""] for sentence in sentences])
    alike = sum((index.idf.get(word) or 0.0) * index.delta for word in words)
    return [float(score) - alike for score in index.get_scores(words)]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
