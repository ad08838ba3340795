"""Surrogates of equal length for identifiers in a note, and the mapping back.

Every offset stays true. Numbers become counted zeros, names invented words: nothing that could be taken for a
fact. One surrogate stands for one word or number, unless there are too many of one length.
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
_TRIES = 40
_RUN = re.compile(r"[^\W\d_]+|\d+")
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_LEAST_PART = 4
"""Fewest letters of a surrogate that are recognised in another word, as in its genitive or cut short."""


@dataclass
class Surrogates:
    """The surrogates of one note."""

    text: str
    deidentified_text: str
    """The text with surrogates, as long as the original."""
    _surrogates: dict[str, str] = field(default_factory=dict)
    """Surrogates by what they replace: words without case, numbers as they are."""
    _originals: dict[str, set[str]] = field(default_factory=dict)
    """Originals by surrogate, without case."""
    _parts: set[str] = field(default_factory=set)
    """Runs of letters or digits in surrogates that are not the note's."""

    @classmethod
    def of(cls, text: str, known: Iterable[str] = ()) -> Surrogates:
        """The surrogates of a text. `known`: metadata values that name the patient."""
        made = cls(text, text)
        made.deidentified_text = made._replaced(text, identifiers_in(text, known))
        return made

    def deidentified_query(self, query: str) -> str:
        """A question with the note's surrogates for its names, and others for other names."""
        names = [
            DetectedIdentifier(match.start(), match.end(), IdentifierKind.WORD)
            for match in _RUN.finditer(query)
            if _without_case(match.group()) in self._surrogates
        ]
        own = [one for one in identifiers_in(query) if not any(_overlap(one, name) for name in names)]
        return self._replaced(query, sorted([*names, *own]))

    def reidentified(self, written: str) -> str | None:
        """Generated text on the shown text, mapped back to the original; None where that is ambiguous. A part
        of the shown text is that part of the original, unless different parts are shown alike. Elsewhere
        whole surrogates are replaced; where a part of one remains, changed or ambiguous, there is no mapping.
        """
        if truths := self._truths(written):
            return truths.pop() if len(truths) == 1 else None
        if not self._originals:
            return written
        pattern = "|".join(map(re.escape, sorted(self._originals, key=len, reverse=True)))
        pieces, end = [], 0
        for match in re.finditer(rf"(?<!\w)(?:{pattern})(?!\w)", written, re.IGNORECASE):
            originals = self._originals[match.group().casefold()]
            if len(originals) > 1 or self._has_parts(written[end : match.start()]):
                return None
            pieces += [written[end : match.start()], *originals]
            end = match.end()
        return None if self._has_parts(written[end:]) else "".join([*pieces, written[end:]])

    def _truths(self, written: str) -> set[str]:
        """What stands in the original wherever the shown text has this."""
        found: set[str] = set()
        place = self.deidentified_text.find(written)
        while place >= 0 and written:
            found.add(self.text[place : place + len(written)])
            place = self.deidentified_text.find(written, place + 1)
        return found

    def _has_parts(self, left: str) -> bool:
        for run in _RUN.findall(left.casefold()):
            if run in self._parts:
                return True
            if not run.isdigit() and len(run) >= _LEAST_PART:
                letters = (part for part in self._parts if len(part) >= _LEAST_PART and not part.isdigit())
                if any(part in run or run in part for part in letters):
                    return True
        return False

    def _replaced(self, text: str, identifiers: Iterable[DetectedIdentifier]) -> str:
        pieces, end = [], 0
        for one in identifiers:
            pieces += [text[end : one.start], self._surrogate(text[one.start : one.end], one.kind)]
            end = one.end
        return "".join([*pieces, text[end:]])

    def _surrogate(self, original: str, kind: IdentifierKind) -> str:
        key = _without_case(original) if kind is IdentifierKind.WORD else original
        if key not in self._surrogates:
            made = self._word(key) if kind is IdentifierKind.WORD else self._number(original, kind)
            self._surrogates[key] = made
            self._parts.update(_new_runs(original, made))
        surrogate = self._surrogates[key]
        if kind is IdentifierKind.WORD:
            surrogate = _as_written(surrogate, original)
        self._originals.setdefault(surrogate.casefold(), set()).add(original)
        return surrogate

    def _word(self, key: str) -> str:
        """Alternating letters, the same for the same word of the same note."""
        chance = random.Random(hashlib.sha256(f"{key}\n{self.text}".encode("utf-8", "replace")).digest())
        taken, note = set(self._surrogates.values()), self.text.casefold()
        for _ in range(_TRIES if len(key) >= _LEAST_PART else 0):
            first = chance.randrange(2)
            word = "".join(chance.choice((_VOWELS, _CONSONANTS)[(first + n) % 2]) for n in range(len(key)))
            if word not in taken and word not in note:
                return word
        return "x" * len(key)

    def _number(self, original: str, kind: IdentifierKind) -> str:
        """Zeros, the last of them counted, and letters crossed out; the year of a date stays."""
        kept = {place for year in _YEAR.finditer(original) for place in range(*year.span())}
        digits = [
            n
            for n, one in enumerate(original)
            if one.isdigit() and not (kind is IdentifierKind.DATE and n in kept)
        ]
        made = list(original)
        for place in range(len(made)):
            if made[place].isalpha():
                made[place] = "X" if made[place].isupper() else "x"
        for count in range(1, 10 ** min(4, len(digits)) if len(digits) > 1 else 1):
            for place, digit in zip(digits, f"{count:0{len(digits)}d}", strict=True):
                made[place] = digit
            if (found := "".join(made)) not in self._surrogates.values() and found not in self.text:
                return found
        for place in digits:
            made[place] = "0"
        return "".join(made)


def _without_case(word: str) -> str:
    """The text in lower case, where its length stays: İ becomes two characters."""
    small = word.lower()
    return small if len(small) == len(word) else word


def _new_runs(original: str, made: str) -> Iterable[str]:
    return (
        match.group().casefold()
        for match in _RUN.finditer(made)
        if match.group() != original[match.start() : match.end()]
    )


def _as_written(surrogate: str, original: str) -> str:
    if len(original) > 1 and original.isupper():
        return surrogate.upper()
    return surrogate.capitalize() if original[:1].isupper() else surrogate


def _overlap(one: DetectedIdentifier, other: DetectedIdentifier) -> bool:
    return one.start < other.end and other.start < one.end
