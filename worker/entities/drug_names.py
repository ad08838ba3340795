"""Drug names in a text: recognised by INN stem, by a short list of names, or by a dose after the word.

The lists are in drug_names.toml. A rare brand name without a dose after it is not recognised.
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
    """Yields the drug names in lower case, in the order of the text, with repeats."""
    dosed = {match.start(1) for match in _BEFORE_A_DOSE.finditer(text)}
    for match in _WORD.finditer(text):
        word = match.group().lower()
        if is_medication(word) or (match.start() in dosed and word not in _lists()["before_doses"]):
            yield word


def drug_name_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yields the spans [start, end) of drug names in order, except names that only a dose indicates."""
    for match in _WORD.finditer(text):
        if is_medication(match.group().lower()) and not is_hyphenated(text, *match.span()):
            yield match.span()


def is_medication(word: str) -> bool:
    """True if a word in lower case is a listed drug name or has an INN stem."""
    lists = _lists()
    if word in lists["names"]:
        return True
    if len(word) < 7 or word in lists["others"]:
        return False
    return word.endswith(lists["suffixes"]) or word.startswith(lists["prefixes"])


def drug_names_of(medication: str) -> frozenset[str]:
    """All listed names of the same substance, `medication` included."""
    return _names_by_drug().get(medication, frozenset([medication]))


@cache
def _lists() -> dict[str, Any]:
    tables = tomllib.loads(Path(__file__).with_name("drug_names.toml").read_text("utf-8"))
    lists: dict[str, Any] = {name: frozenset(tables[name]) for name in ("names", "others", "before_doses")}
    return lists | {name: tuple(tables[name]) for name in ("suffixes", "prefixes")} | {"same": tables["same"]}


@cache
def _names_by_drug() -> dict[str, frozenset[str]]:
    return {name: frozenset(names) for names in _lists()["same"] for name in names}
