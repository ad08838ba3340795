"""Drug names in a text: by INN stem, by a short list, or before a dose.

The lists are in drug_names.toml; a rare brand name without a dose after it is not recognised.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from worker.note.word_boundaries import is_hyphenated

_WORD = re.compile(r"[A-Za-z][A-Za-z-]{2,40}[A-Za-z]")
_BEFORE_A_DOSE = re.compile(
    r"([A-Za-z][A-Za-z-]{2,40}[A-Za-z])\s+(?:\d+(?:[.,]\d+)*)\s?-?(?:mg|mcg|µg|units?|meq|iu|puffs?)\b",
    re.IGNORECASE,
)


def drug_names_in(text: str) -> Iterator[str]:
    """The names in lower case, in the order of the text, with repeats."""
    dosed = {match.start(1) for match in _BEFORE_A_DOSE.finditer(text)}
    for match in _WORD.finditer(text):
        word = match.group().lower()
        if is_medication(word) or (match.start() in dosed and word not in _lists()["before_doses"]):
            yield word


def drug_name_spans(text: str) -> Iterator[tuple[int, int]]:
    """Spans [start, end) of drug names in order, without those that only a dose indicates."""
    for match in _WORD.finditer(text):
        if is_medication(match.group().lower()) and not is_hyphenated(text, *match.span()):
            yield match.span()


def is_medication(word: str) -> bool:
    """True where a word in lower case is a known name or has an INN stem."""
    lists = _lists()
    if word in lists["names"]:
        return True
    if len(word) < 7 or word in lists["others"]:
        return False
    return word.endswith(lists["suffixes"]) or word.startswith(lists["prefixes"])


def drug_names_of(medication: str) -> frozenset[str]:
    """All known names of the same substance, its own included."""
    return _same().get(medication, frozenset([medication]))


@cache
def _lists() -> dict[str, Any]:
    tables = tomllib.loads(Path(__file__).with_name("drug_names.toml").read_text("utf-8"))
    lists: dict[str, Any] = {name: frozenset(tables[name]) for name in ("names", "others", "before_doses")}
    return lists | {name: tuple(tables[name]) for name in ("suffixes", "prefixes")} | {"same": tables["same"]}


@cache
def _same() -> dict[str, frozenset[str]]:
    return {name: frozenset(names) for names in _lists()["same"] for name in names}
