"""Word statistics of annotated notes: how often a word is a whole mention, begins one, or ends one.

Words without statistics get the log odds of words with the same ending.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

from worker.note.word_tokens import CandidateSpan, WordTokens
from worker.weights.lexicon import WordOdds, endings_of, hash_of

TokenizedNote = tuple[str, WordTokens, Sequence[CandidateSpan]]
"""A text, its tokens, and its mentions."""
_LEAST_ODDS = 0.3
"""Smallest log-odds that are kept."""
_LEAST_NOTES = 3
"""Fewest notes with a word that is kept; a rarer word says little, and might be a person's name."""
_LEAST_WORDS = 5
"""Fewest words with the same ending."""
_ENDINGS_SHARE, _LEAST_ENDING_ODDS = 0.5, -3.0
"""An ending is only a hint: its log odds are multiplied by the share, and are never below the least."""


def ending_odds(notes_by_corpus: Collection[Sequence[TokenizedNote]]) -> dict[str, dict[str, float]]:
    """Log odds by label and ending that a word is a whole mention; each word counts once.

    As for words, the corpus with the highest log odds of an ending counts.
    """
    highest: dict[str, dict[str, float]] = defaultdict(dict)
    for notes in notes_by_corpus:
        for label in {span.label for _, _, spans in notes for span in spans}:
            words: Counter[str] = Counter()
            mentions: dict[str, float] = defaultdict(float)
            for word, (single_mentions, seen) in _single_word_counts(notes, label).items():
                for ending in endings_of(word):
                    words[ending] += 1
                    mentions[ending] += single_mentions / seen
            of_label = highest[label]
            for ending, n in words.items():
                if n >= _LEAST_WORDS:
                    odds = math.log((mentions[ending] + 0.5) / (n - mentions[ending] + 1))
                    of_label[ending] = max(odds, of_label.get(ending, odds))
    return {
        label: {ending: _as_hint(odds) for ending, odds in odds_of_label.items()}
        for label, odds_of_label in highest.items()
    }


def _as_hint(odds: float) -> float:
    return round(max(_LEAST_ENDING_ODDS, min(0.0, _ENDINGS_SHARE * odds)), 1)


def word_odds(notes_by_corpus: Collection[Sequence[TokenizedNote]]) -> dict[str, dict[str, WordOdds]]:
    """Log odds by label and hash of a word. A corpus counts only for the labels used in it.

    For whole mentions the corpus with the highest log odds counts, for corpora differ in what they leave out;
    for borders all of them count.
    """
    note_counts = Counter(
        word for notes in notes_by_corpus for _, tokens, _ in notes for word in set(tokens.words)
    )
    common = {word for word, count in note_counts.items() if count >= _LEAST_NOTES}
    alone: dict[str, dict[str, float]] = defaultdict(dict)
    borders: dict[str, _Borders] = defaultdict(_Borders)
    for notes in notes_by_corpus:
        for label in {span.label for _, _, spans in notes for span in spans}:
            for word, odds in _single_word_odds(notes, label).items():
                alone[label][word] = max(odds, alone[label].get(word, odds))
            for _, tokens, spans in notes:
                for span in spans:
                    if span.label == label:
                        borders[label].add(tokens, span)
    return {label: _word_odds(common, alone[label], borders[label]) for label in alone}


class _Borders:
    """Counts of each word as the first or last of a longer mention, and just outside one."""

    def __init__(self) -> None:
        self.first: Counter[str] = Counter()
        self.before: Counter[str] = Counter()
        self.last: Counter[str] = Counter()
        self.behind: Counter[str] = Counter()

    def add(self, tokens: WordTokens, span: CandidateSpan) -> None:
        first, last = tokens.token_range(span.start, span.end)
        self.before.update(tokens.words[max(0, first - 1) : first])
        self.behind.update(tokens.words[last : last + 1])
        if last - first > 1:
            self.first[tokens.words[first]] += 1
            self.last[tokens.words[last - 1]] += 1


def _single_word_odds(notes: Sequence[TokenizedNote], label: str) -> dict[str, float]:
    """Log odds that a word outside longer mentions is a mention; half a mention is added."""
    return {
        word: math.log((single_mentions + 0.5) / (seen - single_mentions + 1))
        for word, (single_mentions, seen) in _single_word_counts(notes, label).items()
    }


def _single_word_counts(notes: Sequence[TokenizedNote], label: str) -> dict[str, tuple[int, int]]:
    """Counts for each word, outside longer mentions: times it is a mention, and times it occurs."""
    seen: Counter[str] = Counter()
    single_mentions: Counter[str] = Counter()
    for _, tokens, spans in notes:
        taken: set[int] = set()
        for span in spans:
            first, last = tokens.token_range(span.start, span.end)
            if span.label == label and last - first == 1:
                single_mentions[tokens.words[first]] += 1
            elif span.label == label:
                taken.update(range(first, last))
        seen.update(word for index, word in enumerate(tokens.words) if index not in taken)
    return {word: (single_mentions[word], max(n, single_mentions[word])) for word, n in seen.items()}


def _word_odds(words: Collection[str], alone: Mapping[str, float], borders: _Borders) -> dict[str, WordOdds]:
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
