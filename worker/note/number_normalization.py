"""Number normalization: 1,200 = 1200, 2.0 = 2, two = 2, 05 = 5; each number with its unit."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
)
_WORDS = {word: value for value, word in enumerate((_SMALL + " seventeen eighteen nineteen").split())}
_TENS = {
    w: 10 * v
    for v, w in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2)
}
_WORDS |= _TENS | {"hundred": 100, "thousand": 1_000}

_NUMBER = re.compile(
    r"""
    (?P<prefix>[A-Za-z]{0,3}(?=\d))?                                       # C5, T12, x3
    (?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|(?<![\w.])\.\d+)
    | \b(?P<word>(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)[-\s]
        (?:one|two|three|four|five|six|seven|eight|nine)|[a-z]{3,9})\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
_UNIT = re.compile(
    r"""[\s-]{0,2}(?:(?P<mg>mg|milligrams?)|(?P<mcg>mcg|µg|μg|micrograms?)|(?P<g>gm?|grams?)|(?P<ml>ml|cc|milliliters?)
    |(?P<cm>cm|centimeters?)|(?P<mm>mm|millimeters?)|(?P<percent>%|percent)|(?P<units>units?)|(?P<kg>kg|kilograms?)
    |(?P<lb>lbs?|pounds?)|(?P<mmhg>mm\s?hg)|(?P<year>years?|yrs?|y/o|yo)|(?P<month>months?|mos?)|(?P<week>weeks?|wks?)
    |(?P<day>days?)|(?P<hour>hours?|hrs?|h)|(?P<minute>minutes?|mins?)|(?P<meq>meq)|(?P<french>french|fr))(?![A-Za-z])""",
    re.VERBOSE | re.IGNORECASE,
)
_SHORT_YEAR = re.compile(r"\b\d{1,2}[/-]\d{1,2}[/-](\d{2})\b")


@dataclass(frozen=True, slots=True)
class Number:
    """One normalized number."""

    value: str
    """Canonical digits, with letters tied to them: '1200', '0.5', 'c5'."""
    unit: str
    """A short unit name; '' without a unit."""


def numbers_in(text: str) -> Iterator[Number]:
    """Yields every number of the text, number words included, except 'one', which is seldom a number."""
    for match in _NUMBER.finditer(text):
        if match["digits"]:
            value = (match["prefix"] or "").lower() + _canonical(match["digits"])
        else:
            number = _value_of_words(match["word"].lower())
            if number is None:
                continue
            value = str(number)
        unit = _UNIT.match(text, match.end())
        yield Number(value, unit.lastgroup or "" if unit else "")


def units_by_number(text: str) -> Mapping[str, frozenset[str]]:
    """Maps each value to its units in the text; two-digit years of dates also count as four-digit years."""
    units: dict[str, set[str]] = defaultdict(set)
    for number in numbers_in(text):
        units[number.value].add(number.unit)
    for year in _SHORT_YEAR.findall(text):
        units[f"19{year}"].add("")
        units[f"20{year}"].add("")
    return {value: frozenset(value_units) for value, value_units in units.items()}


def has_number(number: Number, units: Mapping[str, frozenset[str]]) -> bool:
    """True if the text contains the number with the same unit, or if either of the two has no unit.

    `units` is the result of `units_by_number`.
    """
    bare_value = number.value.lstrip("abcdefghijklmnopqrstuvwxyz")
    note_units = units.get(number.value) or (
        units.get(bare_value) if number.value[:1] in ("x", "q") else None
    )
    return note_units is not None and (not number.unit or number.unit in note_units or "" in note_units)


def _canonical(digits: str) -> str:
    whole, _, fraction = digits.replace(",", "").partition(".")
    fraction = fraction.rstrip("0")
    whole = whole.lstrip("0") or "0"
    return f"{whole}.{fraction}" if fraction else whole


def _value_of_words(words: str) -> int | None:
    if words == "one":
        return None
    parts = words.replace("-", " ").split()
    values = [_WORDS.get(part) for part in parts]
    return None if None in values else sum(value for value in values if value is not None)
