"""Abbreviation expansion: short forms that a note itself explains, "ataxia telangiectasia (A-T)".

The rule is Schwartz and Hearst's (2003): the letters of the short form occur in the long form in the same
order, and the first letter begins a word. Queries are rewritten with the same expansions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_BRACKETED_TEXT = re.compile(r"\(([^()]{2,60})\)")
_WORD = re.compile(r"\S+")
_SHORT_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9/.+-]{0,9}")


def abbreviation_expansions(text: str) -> dict[str, str]:
    """Maps each short form to its first expansion in the text, both in lower case."""
    expansions: dict[str, str] = {}
    for match in _BRACKETED_TEXT.finditer(text):
        bracketed = re.split(r"[,;]", match[1])[0].strip()
        before = text[max(0, match.start() - 200) : match.start()]
        if _SHORT_FORM.fullmatch(bracketed) and any(map(str.isalpha, bracketed)):
            long_form = _long_form(bracketed, before)
            if long_form:
                expansions.setdefault(bracketed.lower(), long_form.lower())
        else:
            short_form = before.split()[-1] if before.split() else ""
            if (
                _SHORT_FORM.fullmatch(short_form)
                and any(map(str.isupper, short_form))
                and _long_form(short_form, bracketed) == bracketed
            ):
                expansions.setdefault(short_form.lower(), bracketed.lower())
    return expansions


def query_variants(query: str, expansions: Mapping[str, str]) -> list[str]:
    """The query in lower case, and its variants with a short form expanded or a long form abbreviated."""
    normalized = " ".join(query.lower().split())
    return list(dict.fromkeys([normalized, *_other_variants(normalized, expansions)]))


def _other_variants(query: str, expansions: Mapping[str, str]) -> Iterator[str]:
    for short_form, long_form in expansions.items():
        pattern = re.compile(rf"(?<!\w){re.escape(short_form)}(?!\w)")
        if pattern.search(query):
            yield long_form.join(pattern.split(query))
        if long_form in query:
            yield query.replace(long_form, short_form)


def _long_form(short_form: str, before: str) -> str | None:
    """The shortest end of `before` that begins with the first letter of `short_form` and has the others in
    order; None without one, or where it is too long."""
    word_starts = [match.start() for match in _WORD.finditer(before)]
    letters = [letter for letter in short_form.lower() if letter.isalnum()]
    index = len(before.rstrip())
    for number, letter in enumerate(reversed(letters), start=1):
        is_first = number == len(letters)
        index -= 1
        while index >= 0 and (
            before[index].lower() != letter or (is_first and index > 0 and before[index - 1].isalnum())
        ):
            index -= 1
        if index < 0:
            return None
    start = max(start for start in word_starts if start <= index)
    long_form = before[start:].strip().lstrip("([\"'")
    is_too_long = len(long_form.split()) > min(len(letters) + 5, 2 * len(letters))
    return None if is_too_long or len(long_form) <= len(short_form) else long_form
