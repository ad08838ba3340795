"""PHI detection: the eighteen identifiers of HIPAA's safe harbor (45 CFR 164.514(b)(2)), by form and context.

Uses rules, not lists of names or a network, so identifiers without a telling context are not found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from worker.privacy.identifier_patterns import NOT_NAMES, RULES, UPPER, IdentifierKind


@dataclass(frozen=True, slots=True, order=True)
class DetectedIdentifier:
    """An identifier: characters [start, end) of the text."""

    start: int
    end: int
    kind: IdentifierKind


_COMPILED = [(kind, re.compile(pattern, re.MULTILINE)) for kind, pattern in RULES]
_WORD = re.compile(rf"[{UPPER}a-zß-öø-ÿčđğłśşšźżž][\w'’]*")
_MIN_METADATA_CHARACTERS, _MIN_METADATA_DIGITS = 3, 5
"""Minimum characters of a metadata value to search for, and of a number; shorter ones also match doses."""


def identifiers_in(text: str, metadata_names: Iterable[str] = ()) -> list[DetectedIdentifier]:
    """The identifiers of a text, in order and disjoint.

    A detected name counts as a name wherever the word is capitalised. `metadata_names`: metadata values that
    name the patient.
    """
    identifiers: list[DetectedIdentifier] = []
    is_taken = bytearray(len(text))

    def add(candidates: Iterable[DetectedIdentifier]) -> None:
        for identifier in candidates:
            if not any(is_taken[identifier.start : identifier.end]):
                is_taken[identifier.start : identifier.end] = b"\1" * (identifier.end - identifier.start)
                identifiers.append(identifier)

    add(_metadata_identifiers(text, metadata_names))
    lower_case_words = frozenset(re.findall(r"\b[^\W\d_A-Z][^\W\d_]+", text))
    for kind, pattern in _COMPILED:
        for match in pattern.finditer(text):
            group = match.lastindex if kind is not IdentifierKind.DATE else 1
            start, end = match.span(group or 1)
            add(
                _name_words(text, start, end, lower_case_words)
                if kind is IdentifierKind.WORD
                else [DetectedIdentifier(start, end, kind)]
            )
    names = {
        text[identifier.start : identifier.end].casefold()
        for identifier in identifiers
        if identifier.kind is IdentifierKind.WORD
    }
    add(_repeated_names(text, {name for name in names if len(name) >= _MIN_METADATA_CHARACTERS}))
    return sorted(identifiers)


def _name_words(
    text: str, start: int, end: int, lower_case_words: frozenset[str]
) -> Iterator[DetectedIdentifier]:
    """Yields the words of a span that can be part of a name.

    Excludes the words of `NOT_NAMES` and words that the note also contains in lower case.
    """
    for match in _WORD.finditer(text, start, end):
        word = match.group()
        if word.casefold() not in NOT_NAMES and word[0].isupper() and word.casefold() not in lower_case_words:
            yield DetectedIdentifier(match.start(), match.end(), IdentifierKind.WORD)


def _repeated_names(text: str, names: set[str]) -> Iterator[DetectedIdentifier]:
    """Yields all capitalised occurrences of detected names."""
    for match in _WORD.finditer(text):
        word = match.group().removesuffix("'s").removesuffix("’s")
        if word.casefold() in names and word[0].isupper():
            yield DetectedIdentifier(match.start(), match.start() + len(word), IdentifierKind.WORD)


def _metadata_identifiers(text: str, metadata_names: Iterable[str]) -> Iterator[DetectedIdentifier]:
    """Yields all occurrences of metadata values, the longest values first."""
    values = {name.strip() for name in metadata_names}
    for value in sorted(values, key=lambda value: (-len(value), value)):
        min_characters = _MIN_METADATA_DIGITS if value.isdecimal() else _MIN_METADATA_CHARACTERS
        if len(value) < min_characters or value.casefold() in NOT_NAMES:
            continue
        kind = IdentifierKind.WORD if value.isalpha() else IdentifierKind.NUMBER
        for match in re.finditer(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE):
            yield DetectedIdentifier(match.start(), match.end(), kind)
