"""PHI detection: the eighteen identifiers of HIPAA's safe harbor (45 CFR 164.514(b)(2)), by form and context.

Uses rules, without lists of names and without a network: what no context indicates is not found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from worker.privacy.identifier_patterns import NOT_NAMES, RULES, UPPER, IdentifierKind


@dataclass(frozen=True, slots=True, order=True)
class DetectedIdentifier:
    """Characters [start, end) of the text."""

    start: int
    end: int
    kind: IdentifierKind


_COMPILED = [(kind, re.compile(pattern, re.MULTILINE)) for kind, pattern in RULES]
_PIECE = re.compile(rf"[{UPPER}a-zß-öø-ÿčđğłśşšźżž][\w'’]*")
_KNOWN_LEAST, _KNOWN_LEAST_DIGITS = 3, 5
"""Fewest characters of a metadata value that is searched for; shorter ones occur everywhere, as doses do."""


def identifiers_in(text: str, known: Iterable[str] = ()) -> list[DetectedIdentifier]:
    """Identifiers in the order of the text, disjoint. `known`: the patient's names in the metadata. A word
    found to be a name counts as one wherever it is capitalised."""
    taken: list[DetectedIdentifier] = []
    is_taken = bytearray(len(text))

    def take(found: Iterable[DetectedIdentifier]) -> None:
        for one in found:
            if not any(is_taken[one.start : one.end]):
                is_taken[one.start : one.end] = b"\1" * (one.end - one.start)
                taken.append(one)

    take(_of_known(text, known))
    lower = frozenset(re.findall(r"\b[^\W\d_A-Z][^\W\d_]+", text))
    for kind, pattern in _COMPILED:
        for match in pattern.finditer(text):
            group = match.lastindex if kind is not IdentifierKind.DATE else 1
            start, end = match.span(group or 1)
            take(
                _words(text, start, end, lower)
                if kind is IdentifierKind.WORD
                else [DetectedIdentifier(start, end, kind)]
            )
    names = {text[one.start : one.end].casefold() for one in taken if one.kind is IdentifierKind.WORD}
    take(_again(text, {name for name in names if len(name) >= _KNOWN_LEAST}))
    return sorted(taken)


def _words(text: str, start: int, end: int, lower: frozenset[str]) -> Iterator[DetectedIdentifier]:
    """Words that can be part of a name: none that the note also has in lower case, nor common ones."""
    for match in _PIECE.finditer(text, start, end):
        word = match.group()
        if word.casefold() not in NOT_NAMES and word[0].isupper() and word.casefold() not in lower:
            yield DetectedIdentifier(match.start(), match.end(), IdentifierKind.WORD)


def _again(text: str, names: set[str]) -> Iterator[DetectedIdentifier]:
    for match in _PIECE.finditer(text):
        bare = match.group().removesuffix("'s").removesuffix("’s")
        if bare.casefold() in names and bare[0].isupper():
            yield DetectedIdentifier(match.start(), match.start() + len(bare), IdentifierKind.WORD)


def _of_known(text: str, known: Iterable[str]) -> Iterator[DetectedIdentifier]:
    for value in sorted({one.strip() for one in known}, key=lambda name: (-len(name), name)):
        least = _KNOWN_LEAST_DIGITS if value.isdecimal() else _KNOWN_LEAST
        if len(value) < least or value.casefold() in NOT_NAMES:
            continue
        kind = IdentifierKind.WORD if value.isalpha() else IdentifierKind.NUMBER
        for match in re.finditer(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE):
            yield DetectedIdentifier(match.start(), match.end(), kind)
