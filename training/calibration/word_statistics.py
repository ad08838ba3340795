"""Word statistics of annotated notes: whether a word is a mention by itself, and on which side of a border it
stands.

Words without statistics are judged by words with the same ending.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

from worker.note.word_tokens import CandidateSpan, WordTokens
from worker.weights.lexicon import WordOdds, endings_of, hash_of

Named = tuple[str, WordTokens, Sequence[CandidateSpan]]
"""A text, its tokens, and its mentions."""
_LEAST_ODDS = 0.3
"""Smallest log-odds that are kept."""
_LEAST_NOTES = 3
"""Fewest notes with a word that is kept; a rarer word says little, and might be a person's name."""


_LEAST_WORDS = 5
"""Fewest words with the same ending."""
_ENDINGS_SHARE, _LEAST_ENDING_ODDS = 0.5, -3.0
"""Of an ending's odds as much is taken, and never less: it is a hint."""


def ending_odds(named: Collection[Sequence[Named]]) -> dict[str, dict[str, float]]:
    """By label, then by ending: log odds of a word being a mention by itself, each word counting once.

    As for words, the corpus that is kindest to an ending judges it.
    """
    kindest: dict[str, dict[str, float]] = defaultdict(dict)
    for records in named:
        for label in {one.label for _, _, marked in records for one in marked}:
            words: Counter[str] = Counter()
            mentions: dict[str, float] = defaultdict(float)
            for word, (marked_alone, seen) in _counted(records, label).items():
                for ending in endings_of(word):
                    words[ending] += 1
                    mentions[ending] += marked_alone / seen
            of_label = kindest[label]
            for ending, n in words.items():
                if n >= _LEAST_WORDS:
                    odds = math.log((mentions[ending] + 0.5) / (n - mentions[ending] + 1))
                    of_label[ending] = max(odds, of_label.get(ending, odds))
    return {
        label: {ending: _as_hint(odds) for ending, odds in some.items()} for label, some in kindest.items()
    }


def _as_hint(odds: float) -> float:
    return round(max(_LEAST_ENDING_ODDS, min(0.0, _ENDINGS_SHARE * odds)), 1)


def word_odds(named: Collection[Sequence[Named]]) -> dict[str, dict[str, WordOdds]]:
    """By label, then by the hash of a word. Each corpus of `named` counts for the labels used in it.

    A word alone is judged by the corpus that is kindest to it, for corpora differ in what they leave out;
    borders by all.
    """
    notes = Counter(word for records in named for _, pieces, _ in records for word in set(pieces.words))
    common = {word for word, count in notes.items() if count >= _LEAST_NOTES}
    alone: dict[str, dict[str, float]] = defaultdict(dict)
    borders: dict[str, _Borders] = defaultdict(_Borders)
    for records in named:
        for label in {one.label for _, _, marked in records for one in marked}:
            for word, odds in _alone(records, label).items():
                alone[label][word] = max(odds, alone[label].get(word, odds))
            for _, pieces, marked in records:
                for one in marked:
                    if one.label == label:
                        borders[label].add(pieces, one)
    return {label: _kept(common, alone[label], borders[label]) for label in alone}


class _Borders:
    """Counts of each word as the first or last of a longer mention, and just outside one."""

    def __init__(self) -> None:
        self.first: Counter[str] = Counter()
        self.before: Counter[str] = Counter()
        self.last: Counter[str] = Counter()
        self.behind: Counter[str] = Counter()

    def add(self, pieces: WordTokens, one: CandidateSpan) -> None:
        first, last = pieces.token_range(one.start, one.end)
        self.before.update(pieces.words[max(0, first - 1) : first])
        self.behind.update(pieces.words[last : last + 1])
        if last - first > 1:
            self.first[pieces.words[first]] += 1
            self.last[pieces.words[last - 1]] += 1


def _alone(records: Sequence[Named], label: str) -> dict[str, float]:
    """Log-odds of a word, in no longer mention, being a mention; with half a mention added."""
    return {
        word: math.log((marked_alone + 0.5) / (seen - marked_alone + 1))
        for word, (marked_alone, seen) in _counted(records, label).items()
    }


def _counted(records: Sequence[Named], label: str) -> dict[str, tuple[int, int]]:
    """For each word, outside longer mentions: times it is a mention, and times it occurs."""
    seen: Counter[str] = Counter()
    marked_alone: Counter[str] = Counter()
    for _, pieces, marked in records:
        taken: set[int] = set()
        for one in marked:
            first, last = pieces.token_range(one.start, one.end)
            if one.label == label and last - first == 1:
                marked_alone[pieces.words[first]] += 1
            elif one.label == label:
                taken.update(range(first, last))
        seen.update(word for place, word in enumerate(pieces.words) if place not in taken)
    return {word: (marked_alone[word], max(n, marked_alone[word])) for word, n in seen.items()}


def _kept(words: Collection[str], alone: Mapping[str, float], borders: _Borders) -> dict[str, WordOdds]:
    kept = {}
    for word in words:
        odds = WordOdds(
            alone=_rounded(min(0.0, alone.get(word, 0.0))),
            first=_rounded(_against(borders.first[word], borders.before[word])),
            last=_rounded(_against(borders.last[word], borders.behind[word])),
        )
        if any(odds):
            kept[hash_of((word,))] = odds
    return kept


def _against(inside: int, outside: int) -> float:
    return math.log((inside + 0.5) / (outside + 0.5))


def _rounded(odds: float) -> float:
    return round(odds, 1) if abs(odds) >= _LEAST_ODDS else 0.0
