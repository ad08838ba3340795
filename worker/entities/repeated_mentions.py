"""Where the words of a mention stand again in the same note.

In the plural or singular they are the same words, and so is an abbreviation with what the note says that it
stands for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from worker.note.abbreviations import abbreviations
from worker.note.word_tokens import Pieces, Stretch, Words

_LEAST_PLURAL = 5
"""Letters of a word whose final s is taken for a plural's."""
_Sense = tuple[Words, str]
"""What a name stands for, in the singular, with its label."""


def recurring(text: str, pieces: Pieces, marked: Sequence[Stretch]) -> list[list[Stretch]]:
    """All places of each name that is marked anywhere and stands in several, marked there or not.

    `marked`: in order, disjoint. What is only a part of a longer marked stretch is no place of its own.
    """
    wordings = _wordings(text, pieces, marked)
    senses: dict[Words, list[_Sense]] = defaultdict(list)
    for sense, some in wordings.items():
        for words in some:
            senses[words].append(sense)
    places: dict[_Sense, list[Stretch]] = defaultdict(list)
    for start, end in _free_places(pieces, senses, marked):
        for sense in senses[pieces.read(start, end)]:
            places[sense].append(Stretch(start, end, sense[1]))
    return [some for some in places.values() if len(some) > 1]


def _wordings(text: str, pieces: Pieces, marked: Sequence[Stretch]) -> Mapping[_Sense, Collection[Words]]:
    """By what is marked, every way in which the note may say it."""
    explained = {Pieces.of(short).words: Pieces.of(long).words for short, long in abbreviations(text).items()}
    wordings: dict[_Sense, set[Words]] = defaultdict(set)
    for start, end, label in marked:
        words = pieces.read(start, end)
        singular = _singular(explained.get(words, words))
        wordings[singular, label] |= {words, singular, (*singular[:-1], singular[-1] + "s")}
    for (singular, _), some in wordings.items():
        for short, long in explained.items():
            if singular == _singular(long):
                some |= {short, long}
    return wordings


def _free_places(
    pieces: Pieces, names: Collection[Words], marked: Sequence[Stretch]
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
