"""NegEx baseline as first published (Chapman 2001): 6 words around a phrase, only conjunctions end a scope.

Separate from the worker's triggers, so that it stays a baseline.
"""

from __future__ import annotations

import re

from models.answers import Assertion

_BEFORE = re.compile(
    r"\b(?:no|not|without|denies|denied|absence of|negative for|no evidence of|no sign of|no signs of"
    r"|declined|fails to reveal|free of|ruled out|versus|patient was not|rather than)\b"
)
_AFTER = re.compile(r"\b(?:unlikely|free|was ruled out|is ruled out|ruled out|negative|absent)\b")
_POSSIBLE = re.compile(r"\b(?:rule out|r/o|possible|suspected|questionable|may be|probable)\b")
_PSEUDO = re.compile(
    r"\b(?:no increase|no change|not only|not certain if|without difficulty|gram negative)\b"
)
_END = re.compile(r"[.;]|\b(?:but|however|although|except|aside from|secondary to|due to)\b")
_REACH_WORDS = 6


def assertion(sentence: str, start: int, end: int) -> Assertion:
    """Negated, possible or present, for sentence[start:end]."""
    small = _PSEUDO.sub(lambda match: " " * len(match.group()), sentence.lower())
    before = _END.split(small[:start])[-1].split()[-_REACH_WORDS:]
    after = _END.split(small[end:])[0].split()[:_REACH_WORDS]
    if _BEFORE.search(" ".join(before)) or _AFTER.search(" ".join(after)):
        return Assertion.NEGATED
    if _POSSIBLE.search(" ".join(before)) or _POSSIBLE.search(" ".join(after)):
        return Assertion.POSSIBLE
    return Assertion.PRESENT
