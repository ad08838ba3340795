"""Repeated mentions: further occurrences of the words of a mention in the same note.

Singular and plural count as the same name, and so do an abbreviation and its expansion in the note.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from worker.note.abbreviations import abbreviation_expansions
from worker.note.word_tokens import CandidateSpan, Words, WordTokens

_MIN_PLURAL_LETTERS = 5
"""Minimum letters of a word whose final s counts as a plural."""
_Name = tuple[Words, str]
"""A name, expanded and in the singular, with its label."""


def repeated_mentions(
    text: str, word_tokens: WordTokens, tagged: Sequence[CandidateSpan]
) -> list[list[CandidateSpan]]:
    """The occurrences of each tagged name that occurs more than once, whether they are tagged or not.

    `tagged`: in order and disjoint. A part of a longer tagged span is not an occurrence.
    """
    names_by_words: dict[Words, list[_Name]] = defaultdict(list)
    for name, variants in _name_variants(text, word_tokens, tagged).items():
        for words in variants:
            names_by_words[words].append(name)
    occurrences: dict[_Name, list[CandidateSpan]] = defaultdict(list)
    for start, end in _occurrences(word_tokens, names_by_words, tagged):
        for name in names_by_words[word_tokens.words_in(start, end)]:
            occurrences[name].append(CandidateSpan(start, end, name[1]))
    return [spans for spans in occurrences.values() if len(spans) > 1]


def _name_variants(
    text: str, word_tokens: WordTokens, tagged: Sequence[CandidateSpan]
) -> Mapping[_Name, Collection[Words]]:
    """By tagged name, the word sequences that stand for it in the note."""
    expansions = {
        WordTokens.of(short_form).words: WordTokens.of(long_form).words
        for short_form, long_form in abbreviation_expansions(text).items()
    }
    variants: dict[_Name, set[Words]] = defaultdict(set)
    for start, end, label in tagged:
        words = word_tokens.words_in(start, end)
        singular = _singular(expansions.get(words, words))
        variants[singular, label] |= {words, singular, (*singular[:-1], singular[-1] + "s")}
    for (singular, _), name_variants in variants.items():
        for short_form, long_form in expansions.items():
            if singular == _singular(long_form):
                name_variants |= {short_form, long_form}
    return variants


def _occurrences(
    word_tokens: WordTokens, names: Collection[Words], tagged: Sequence[CandidateSpan]
) -> Iterator[tuple[int, int]]:
    """Yields the character ranges of names, except parts of longer tagged spans."""
    lengths: dict[str, set[int]] = defaultdict(set)
    for words in filter(None, names):
        lengths[words[0]].add(len(words))
    starts = [mention.start for mention in tagged]
    for index, word in enumerate(word_tokens.words):
        for length in lengths.get(word, ()):
            words = word_tokens.words[index : index + length]
            if len(words) == length and words in names:
                start, end = word_tokens.starts[index], word_tokens.ends[index + length - 1]
                containing = tagged[max(0, bisect_right(starts, start) - 1)]
                is_part = containing.start <= start and end <= containing.end
                if not is_part or (start, end) == (containing.start, containing.end):
                    yield start, end


def _singular(words: Words) -> Words:
    """The words without a plural s at the end."""
    last = words[-1] if words else ""
    is_plural = len(last) >= _MIN_PLURAL_LETTERS and last.endswith("s") and not last.endswith("ss")
    return (*words[:-1], last[:-1]) if is_plural else words
