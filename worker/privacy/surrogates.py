"""Surrogates of equal length for the identifiers in a note, and the mapping back to the originals.

Offsets stay valid. Numbers become counted zeros and names become invented words, which nobody can mistake for
facts. Each word or number has its own surrogate, unless there are too many of one length.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from worker.privacy.identifier_detection import DetectedIdentifier, identifiers_in
from worker.privacy.identifier_patterns import IdentifierKind

_VOWELS, _CONSONANTS = "aeiou", "bdfgjklmnprstvz"
_MAX_TRIES = 40
_RUN = re.compile(r"[^\W\d_]+|\d+")
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_MIN_PART_LETTERS = 4
"""Minimum letters of a surrogate that is recognised within another word, as in its genitive or cut short."""


@dataclass
class Surrogates:
    """The surrogates of one note."""

    text: str
    """The original text."""
    deidentified_text: str
    """The text with surrogates, as long as the original."""
    _surrogates: dict[str, str] = field(default_factory=dict)
    """Surrogates by original: words in lower case, numbers unchanged."""
    _originals: dict[str, set[str]] = field(default_factory=dict)
    """Originals by surrogate; surrogates without case."""
    _parts: set[str] = field(default_factory=set)
    """Runs of letters or digits in surrogates that differ from the original."""

    @classmethod
    def of(cls, text: str, metadata_names: Iterable[str] = ()) -> Surrogates:
        """The surrogates of a text. `metadata_names`: metadata values that name the patient."""
        surrogates = cls(text, text)
        surrogates.deidentified_text = surrogates._replaced(text, identifiers_in(text, metadata_names))
        return surrogates

    def deidentified_query(self, query: str) -> str:
        """A query with the surrogates of the note for its names, and new surrogates for other names."""
        known_names = [
            DetectedIdentifier(match.start(), match.end(), IdentifierKind.WORD)
            for match in _RUN.finditer(query)
            if _lower_case(match.group()) in self._surrogates
        ]
        other_identifiers = [
            identifier
            for identifier in identifiers_in(query)
            if not any(_overlaps(identifier, name) for name in known_names)
        ]
        return self._replaced(query, sorted([*known_names, *other_identifiers]))

    def reidentified(self, generated: str) -> str | None:
        """Text generated from the de-identified text, mapped back to the original; None if it is ambiguous.

        A quotation of the de-identified text becomes the same part of the original, unless its occurrences
        have different originals. Otherwise each whole surrogate is replaced; there is no mapping if a
        surrogate has several originals, or if a changed or cut surrogate remains.
        """
        if quotations := self._originals_of(generated):
            return quotations.pop() if len(quotations) == 1 else None
        if not self._originals:
            return generated
        pattern = "|".join(map(re.escape, sorted(self._originals, key=len, reverse=True)))
        parts, end = [], 0
        for match in re.finditer(rf"(?<!\w)(?:{pattern})(?!\w)", generated, re.IGNORECASE):
            originals = self._originals[match.group().casefold()]
            if len(originals) > 1 or self._has_surrogate_parts(generated[end : match.start()]):
                return None
            parts += [generated[end : match.start()], *originals]
            end = match.end()
        return None if self._has_surrogate_parts(generated[end:]) else "".join([*parts, generated[end:]])

    def _originals_of(self, generated: str) -> set[str]:
        """The original text at each occurrence of a quotation in the de-identified text."""
        originals: set[str] = set()
        position = self.deidentified_text.find(generated)
        while position >= 0 and generated:
            originals.add(self.text[position : position + len(generated)])
            position = self.deidentified_text.find(generated, position + 1)
        return originals

    def _has_surrogate_parts(self, rest: str) -> bool:
        """True if the text contains a surrogate or a recognisable part of one."""
        for run in _RUN.findall(rest.casefold()):
            if run in self._parts:
                return True
            if not run.isdigit() and len(run) >= _MIN_PART_LETTERS:
                letters = (
                    part for part in self._parts if len(part) >= _MIN_PART_LETTERS and not part.isdigit()
                )
                if any(part in run or run in part for part in letters):
                    return True
        return False

    def _replaced(self, text: str, identifiers: Iterable[DetectedIdentifier]) -> str:
        """The text with surrogates for `identifiers`, which are disjoint and in order."""
        parts, end = [], 0
        for identifier in identifiers:
            parts += [
                text[end : identifier.start],
                self._surrogate(text[identifier.start : identifier.end], identifier.kind),
            ]
            end = identifier.end
        return "".join([*parts, text[end:]])

    def _surrogate(self, original: str, kind: IdentifierKind) -> str:
        is_word = kind is IdentifierKind.WORD
        key = _lower_case(original) if is_word else original
        if key not in self._surrogates:
            new = self._word_surrogate(key) if is_word else self._number_surrogate(original, kind)
            self._surrogates[key] = new
            self._parts.update(_new_runs(original, new))
        surrogate = self._surrogates[key]
        if is_word:
            surrogate = _with_case_of(surrogate, original)
        self._originals.setdefault(surrogate.casefold(), set()).add(original)
        return surrogate

    def _word_surrogate(self, word: str) -> str:
        """Alternating vowels and consonants, always the same for the same word of the same note."""
        generator = random.Random(hashlib.sha256(f"{word}\n{self.text}".encode("utf-8", "replace")).digest())
        used, note_text = set(self._surrogates.values()), self.text.casefold()
        for _ in range(_MAX_TRIES if len(word) >= _MIN_PART_LETTERS else 0):
            first = generator.randrange(2)
            surrogate = "".join(
                generator.choice((_VOWELS, _CONSONANTS)[(first + n) % 2]) for n in range(len(word))
            )
            if surrogate not in used and surrogate not in note_text:
                return surrogate
        return "x" * len(word)

    def _number_surrogate(self, original: str, kind: IdentifierKind) -> str:
        """Digits become a zero-padded count and letters become x; the year of a date is kept."""
        year_positions = {position for year in _YEAR.finditer(original) for position in range(*year.span())}
        digits = [
            position
            for position, character in enumerate(original)
            if character.isdigit() and not (kind is IdentifierKind.DATE and position in year_positions)
        ]
        characters = list(original)
        for position in range(len(characters)):
            if characters[position].isalpha():
                characters[position] = "X" if characters[position].isupper() else "x"
        for count in range(1, 10 ** min(4, len(digits)) if len(digits) > 1 else 1):
            for position, digit in zip(digits, f"{count:0{len(digits)}d}", strict=True):
                characters[position] = digit
            if (
                candidate := "".join(characters)
            ) not in self._surrogates.values() and candidate not in self.text:
                return candidate
        for position in digits:
            characters[position] = "0"
        return "".join(characters)


def _lower_case(word: str) -> str:
    """The text in lower case, unless that changes its length: İ becomes two characters."""
    lower = word.lower()
    return lower if len(lower) == len(word) else word


def _new_runs(original: str, surrogate: str) -> Iterable[str]:
    """The runs of letters or digits in a surrogate that differ from the original."""
    return (
        match.group().casefold()
        for match in _RUN.finditer(surrogate)
        if match.group() != original[match.start() : match.end()]
    )


def _with_case_of(surrogate: str, original: str) -> str:
    """The surrogate in upper case or capitalised, as the original is."""
    if len(original) > 1 and original.isupper():
        return surrogate.upper()
    return surrogate.capitalize() if original[:1].isupper() else surrogate


def _overlaps(identifier: DetectedIdentifier, other: DetectedIdentifier) -> bool:
    return identifier.start < other.end and other.start < identifier.end
