"""Repeated mentions: where the words of a mention occur again in the same note.

Plural and singular are the same words, and so are an abbreviation and its expansion in the note.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from worker.note.abbreviations import abbreviation_expansions
from worker.note.word_tokens import CandidateSpan, Words, WordTokens

_LEAST_PLURAL = 5
"""Fewest letters of a word whose final s is taken for a plural."""
_Sense = tuple[Words, str]
"""The expansion of a name, in the singular, with its label."""


def repeated_mentions(
    text: str, pieces: WordTokens, marked: Sequence[CandidateSpan]
) -> list[list[CandidateSpan]]:
    """All positions of each name that is tagged anywhere and occurs several times, tagged there or not.
    `marked`: in order, disjoint. A part of a longer tagged span does not count."""
    wordings = _wordings(text, pieces, marked)
    senses: dict[Words, list[_Sense]] = defaultdict(list)
    for sense, some in wordings.items():
        for words in some:
            senses[words].append(sense)
    places: dict[_Sense, list[CandidateSpan]] = defaultdict(list)
    for start, end in _free_places(pieces, senses, marked):
        for sense in senses[pieces.words_in(start, end)]:
            places[sense].append(CandidateSpan(start, end, sense[1]))
    return [some for some in places.values() if len(some) > 1]


def _wordings(
    text: str, pieces: WordTokens, marked: Sequence[CandidateSpan]
) -> Mapping[_Sense, Collection[Words]]:
    """By what is marked, every way in which the note may say it."""
    explained = {
        WordTokens.of(short).words: WordTokens.of(long).words
        for short, long in abbreviation_expansions(text).items()
    }
    wordings: dict[_Sense, set[Words]] = defaultdict(set)
    for start, end, label in marked:
        words = pieces.words_in(start, end)
        singular = _singular(explained.get(words, words))
        wordings[singular, label] |= {words, singular, (*singular[:-1], singular[-1] + "s")}
    for (singular, _), some in wordings.items():
        for short, long in explained.items():
            if singular == _singular(long):
                some |= {short, long}
    return wordings


def _free_places(
    pieces: WordTokens, names: Collection[Words], marked: Sequence[CandidateSpan]
) -> Iterator[tuple[int, int]]:
    lengths: dict[str, set[int]] = defaultdict(set)
    for words in filter(None, names):
        lengths[words[0]].add(len(words))
    starts = [one.start for one in marked]
    for place, word in enumerate(pieces.words):
        for length in lengths.get(word, ()):
            words = pieces.words[place : place + length]
            if len(words) == length and words in names:
                start, end = pieces.starts[place], pieces.ends[place + length - 1]
                around = marked[max(0, bisect_right(starts, start) - 1)]
                is_part = around.start <= start and end <= around.end
                if not is_part or (start, end) == (around.start, around.end):
                    yield start, end


def _singular(words: Words) -> Words:
    """As far as a final s tells."""
    last = words[-1] if words else ""
    is_plural = len(last) >= _LEAST_PLURAL and last.endswith("s") and not last.endswith("ss")
    return (*words[:-1], last[:-1]) if is_plural else words
