"""Abbreviation expansion: short forms that a note explains itself, "ataxia telangiectasia (A-T)", and queries
worded with them.

The rule is Schwartz and Hearst's (2003): the letters of the short form occur in the long one, in order, the
first at the beginning of a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_BRACKETED = re.compile(r"\(([^()]{2,60})\)")
_WORD = re.compile(r"\S+")
_SHORT = re.compile(r"[A-Za-z0-9][A-Za-z0-9/.+-]{0,9}")


def abbreviation_expansions(text: str) -> dict[str, str]:
    """Short forms and their expansions, both in lower case, as first explained."""
    found: dict[str, str] = {}
    for match in _BRACKETED.finditer(text):
        inside = re.split(r"[,;]", match[1])[0].strip()
        before = text[max(0, match.start() - 200) : match.start()]
        if _SHORT.fullmatch(inside) and any(map(str.isalpha, inside)):
            long = _long_form(inside, before)
            if long:
                found.setdefault(inside.lower(), long.lower())
        else:
            short = before.split()[-1] if before.split() else ""
            if (
                _SHORT.fullmatch(short)
                and any(map(str.isupper, short))
                and _long_form(short, inside) == inside
            ):
                found.setdefault(short.lower(), inside.lower())
    return found


def query_variants(query: str, explained: Mapping[str, str]) -> list[str]:
    """The query, and its wordings with short forms expanded, or long ones shortened."""
    small = " ".join(query.lower().split())
    return list(dict.fromkeys([small, *_other_wordings(small, explained)]))


def _other_wordings(query: str, explained: Mapping[str, str]) -> Iterator[str]:
    for short, long in explained.items():
        pattern = re.compile(rf"(?<!\w){re.escape(short)}(?!\w)")
        if pattern.search(query):
            yield long.join(pattern.split(query))
        if long in query:
            yield query.replace(long, short)


def _long_form(short: str, before: str) -> str | None:
    """The shortest end of `before` that has the letters of `short` in order, and begins with the first."""
    words = [match.start() for match in _WORD.finditer(before)]
    letters = [letter for letter in short.lower() if letter.isalnum()]
    place = len(before.rstrip())
    for number, letter in enumerate(reversed(letters), start=1):
        is_first = number == len(letters)
        place -= 1
        while place >= 0 and (
            before[place].lower() != letter or (is_first and place > 0 and before[place - 1].isalnum())
        ):
            place -= 1
        if place < 0:
            return None
    start = max(one for one in words if one <= place)
    long = before[start:].strip().lstrip("([\"'")
    is_too_long = len(long.split()) > min(len(letters) + 5, 2 * len(letters))
    return None if is_too_long or len(long) <= len(short) else long
