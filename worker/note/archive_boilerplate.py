"""Archive boilerplate after a note: index terms, a disclaimer, an empty cell's `nan`.

None describes the patient: "in good condition.surgery, hernia, inguinal hernias, testicle," lists index
terms. Recognised by form only, as MTSamples writes them; linear time.
"""

from __future__ import annotations

import re

_GLUED = re.compile(r"(?:[.!?:)]|,(?=,)),?(?=[a-z])")
"""Where a list may begin: right after the end of a sentence, without a space."""
_EMPTY_CELL = re.compile(r"(?<=[.:)]),?nan\Z")
_DISCLAIMER = re.compile(
    r"NOTE(?:,?:\s*These\s?transcribed medical transcription sample reports\b.*)?\Z", re.DOTALL
)
_ONE_TERM = re.compile(r"(?<=[.)])[a-z][a-z /-]{4,30},\Z")
"""A single term, recognised by the comma after it: "tolerated well.surgery,"."""
_LEAST_TERMS = 4
_LONGEST_TERM = 8
"""Most words of a term."""


def boilerplate_start(text: str) -> int:
    """The offset at which the boilerplate begins; the end of the text without any."""
    disclaimer = _DISCLAIMER.search(text)
    end = disclaimer.start() if disclaimer else len(text)
    if alone := _EMPTY_CELL.search(text, 0, end) or _ONE_TERM.search(text, 0, end):
        return alone.start()
    if text.endswith((".", "!", "?"), 0, end):
        return end
    line = max(text.rfind("\n", 0, end), text.rfind("\r", 0, end)) + 1
    last_capital = next((place for place in range(end - 1, line, -1) if text[place].isupper()), line)
    for glued in _GLUED.finditer(text, last_capital, end):
        terms = text[glued.end() : end].rstrip(", ").split(",")
        if len(terms) >= _LEAST_TERMS and all(len(term.split()) <= _LONGEST_TERM for term in terms):
            return glued.end()
    return end
