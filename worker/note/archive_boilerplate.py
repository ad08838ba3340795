"""Archive boilerplate after a note: index terms, a disclaimer, or the `nan` of an empty cell.

Boilerplate does not describe the patient: "in good condition.surgery, hernia, testicle," ends in index terms.
The patterns follow the format of MTSamples. Runs in linear time.
"""

from __future__ import annotations

import re

_LIST_START = re.compile(r"(?:[.!?:)]|,(?=,)),?(?=[a-z])")
"""Possible start of a list of index terms: right after the end of a sentence, without a space."""
_EMPTY_CELL = re.compile(r"(?<=[.:)]),?nan\Z")
_DISCLAIMER = re.compile(
    r"NOTE(?:,?:\s*These\s?transcribed medical transcription sample reports\b.*)?\Z", re.DOTALL
)
_SINGLE_TERM = re.compile(r"(?<=[.)])[a-z][a-z /-]{4,30},\Z")
"""A single index term, recognised by the comma after it: "tolerated well.surgery,"."""
_MIN_TERMS = 4
_MAX_TERM_WORDS = 8


def boilerplate_start(text: str) -> int:
    """The offset at which the boilerplate begins; the length of the text if there is none."""
    disclaimer = _DISCLAIMER.search(text)
    end = disclaimer.start() if disclaimer else len(text)
    if single := _EMPTY_CELL.search(text, 0, end) or _SINGLE_TERM.search(text, 0, end):
        return single.start()
    if text.endswith((".", "!", "?"), 0, end):
        return end
    line_start = max(text.rfind("\n", 0, end), text.rfind("\r", 0, end)) + 1
    last_capital = next(
        (offset for offset in range(end - 1, line_start, -1) if text[offset].isupper()), line_start
    )
    for match in _LIST_START.finditer(text, last_capital, end):
        terms = text[match.end() : end].rstrip(", ").split(",")
        if len(terms) >= _MIN_TERMS and all(len(term.split()) <= _MAX_TERM_WORDS for term in terms):
            return match.end()
    return end
