"""Attribute patterns: dosage, frequency and route of a medication, and the value of a test.

Searches one sentence at a time, and returns only the kinds that the labels declare.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from models.answers import Attribute
from models.labels import Label

_WORDED = r"(?:one|two|three|four|five|six|seven|eight|nine|ten|half|one-half)\b"
_NUMBER = rf"(?:\d+(?:[.,]\d+)*(?:/\d+(?:\.\d+)?)?|{_WORDED})"
_RANGE = rf"{_NUMBER}(?:\s?%?\s?(?:-|–|to|or|x)\s?{_NUMBER})?"
_SPACE = r"[\s\u2005\u2009\u200a\u202f]*-?"
_MASS = (
    r"(?:mg|mcg|µg|μg|ug|ng|g|gm|gms|grams?|milligrams?|micrograms?|kg|ml|cc|l|liters?"
    r"|units?|u|iu|meq|mmol|gy|million\s+units)"
)
_FORM = (
    r"(?:puffs?|tablets?|tabs?|capsules?|caps?|pills?|drops?|gtts?|sprays?|patch(?:es)?|teaspoons?|tsp|tbsp"
    r"|ampules?|vials?|boluse?s?|doses?|cycles?)"
)
_PER = (
    r"(?:\s?(?:/|per)\s?(?:\d+(?:\.\d+)?\s?)?"
    r"(?:kg|m2|m²|day|d|hour|hr|h|minute|min|dose|ml|cc|l|dl|week|month)\b)*"
)
_STRENGTH = r"\d+(?:\.\d+)?\s?%"

_PATTERNS = {
    "dosage": rf"""(?:{_RANGE}{_SPACE}\s?{_MASS}\b{_PER}(?:\s(?:of\s)?{_STRENGTH})?
        |{_STRENGTH}|{_RANGE}\s{_FORM}\b|(?:low|high)[\s-]doses?\b|{_RANGE}\s?mg\b)""",
    "frequency": rf"""(?:(?:
        [bt]\.?\s?i\.?\s?d\b\.?|q\.?\s?i\.?\s?d\b\.?|q\.?\s?o\.?\s?d\b\.?|q\.?\s?d\b\.?|q\.?\s?h\.?\s?s\b\.?|q\.?\s?[ap]\.?\s?m\b\.?
        |q\.?\s?\d+(?:\s?(?:-|–|to)\s?\d+)?\s?(?:hours?|hrs?|h|days?|d|weeks?|wks?|minutes?|min)\b\.?|q\s?(?:day|week|month|shift|meals?)\b
        |every\s(?:other\s)?(?:{_RANGE}\s)?(?:hours?|h|days?|weeks?|months?|minutes?|morning|evening|night|other\sday)\b
        |(?:once|twice|thrice|{_RANGE}\s?(?:times|x))(?:\s(?:a|per|each|every)\s(?:day|week|month|night|hour)|\s?(?:/|per\s)day|[\s-](?:daily|weekly|monthly|nightly))
        |once\b(?!\s(?:the|he|she|they|it|we|his|her|a|an|this|that)\b)|nightly|daily|weekly|monthly|hourly|at\sbedtime|h\.s\.|per\sday|(?:before|with|after)\s(?:meals|breakfast|dinner)|a\.c\.
        )(?:[,\s]+(?:p\.?r\.?n\b\.?|as\sneeded))?|p\.?r\.?n\b\.?|as\sneeded)""",
    "route": r"""(?:p\.\s?o\b\.?|po\b|by\smouth|oral(?:ly)?\b|i\.\s?v\b\.?|iv\b
        |intra-?(?:venous|muscular|nasal|thecal|arterial|vitreal|dermal|peritoneal|articular)(?:ly)?\b
        |i\.\s?m\b\.?|im\b|s\.\s?[cq]\b\.?|s[cq]\b|subq\b|sub-?cutaneous(?:ly)?\b|sublingual(?:ly)?\b|s\.\s?l\b\.?|topical(?:ly)?\b|inhaled\b|inhalation\b|nebuliz(?:ed|er)\b
        |rectal(?:ly)?\b|per\srectum|transdermal(?:ly)?\b|epidural(?:ly)?\b|parenteral(?:ly)?\b|(?:per|via)\s(?:g-?tube|ng\stube|peg)\b|by\svein|continuous\sinfusion\b)""",
    "value": rf"""(?:(?<!\w-)(?:[<>≤≥±+]\s?|approximately\s|about\s)?{_RANGE}(?:\s?(?:/|per)\s?{_NUMBER})?
        (?:\+(?!\w))?
        (?:{_SPACE}\s?(?:%|‰|°\s?[CF]?|mm\s?hg|mg/dl|g/dl|[mµμnp]?(?:g|mol|eq|iu|u)/(?:d?l|ml|min|h|24\s?h)|iu/l|bpm|beats(?:\s?(?:/|per)\s?min(?:ute)?)?|/?min\b|[cm]m\b|ms\b|kg\b|lbs?\b|degrees|[/×x]\s?10\^?\d+\s?/l|×\s?10\^?\d+(?:/[µμ]?l)?|k/ul|cells/\S{{1,6}}|/[µμ]l|/mm3))?
        (?![\s-]?(?:days?|weeks?|months?|years?|hours?|hrs?|minutes?|times|sized|fold)\b)
        |(?<![(\[-])(?:slightly\s|mildly\s|markedly\s|strongly\s|weakly\s|within\s(?:the\s)?)?(?:positive|negative|elevated|increased|decreased|reduced|raised|low|high|abnormal|unremarkable|intact|prolonged|nonreactive|trace
            |stable|unchanged|normalized|sterile|normal(?:\s(?:limits?|ranges?))?)\b(?!-))""",
}
PATTERN_KINDS = frozenset(_PATTERNS)
"""The kinds of attributes that are found by pattern."""
_COMPILED = {
    kind: re.compile(rf"(?<![\w.*#])(?:{pattern})(?![A-Za-z0-9])", re.IGNORECASE | re.VERBOSE)
    for kind, pattern in _PATTERNS.items()
}
_BEFORE_NAME = re.compile(
    rf"(?:{_PATTERNS['route']}|{_PATTERNS['dosage']})[\s-]+(?:of\s+)?(?!contracepti)",
    re.IGNORECASE | re.VERBOSE,
)
_MAX_OVERHANG = 8
"""Maximum characters of an attribute before or after the tagged part of it."""
_DISPENSED_COUNT = re.compile(r"\s(?:\d+\s)?#\d{2,}\Z")
"""The number of tablets to dispense."""
LEADING_WORDS = re.compile(
    r"[\s(\[-]*(?:(?:of|the|a|an|dose|doses|bolus|infusion|injection|in|for|with)\s+)*[\s(\[-]*"
)
"""Words between an attribute and the entity right after it to which it belongs."""
_PLURAL_VERB = re.compile(r"\s*(?:were|are|all|both)\b")
_LIST_SEPARATOR = re.compile(r"\s*(?:,|and|or|,\s*and|/|&)\s*")
_MAX_DISTANCE = {"dosage": 60, "frequency": 80, "route": 80, "value": 45}
"""Maximum characters between an entity and its attribute; other attributes are not counted."""
_SEPARATOR = re.compile(
    r"[;]|\b(?:fig(?:ure|\.)?|table)\s?$|\b(?:normal|reference|range|ref)\b|\bN\s?[<>]?$|\.\s|\b(?:but|who|which|he|she|patient|underwent|started|ago|old|years?)\b",
    re.IGNORECASE,
)


class LabelledSpan(Protocol):
    """A span of the note with a label: an `Entity` or a `GroundedMention`."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def label(self) -> str: ...


def attributes_by_pattern(
    sentence: str, offset: int, entities: Sequence[LabelledSpan], labels: Sequence[Label]
) -> tuple[tuple[int, Attribute], ...]:
    """Pairs of an index in `entities` and an attribute of that entity, in the order of the note.

    `sentence` begins at `offset` of the note; all other offsets are relative to the note. Entities outside
    the sentence get no attributes; the others get only the kinds that `labels` declares for their label.
    """
    inside = [
        (index, entity.start - offset, entity.end - offset, entity.label)
        for index, entity in enumerate(entities)
        if offset <= entity.start and entity.end <= offset + len(sentence)
    ]
    owners = {
        label.name: label.attribute_of for label in labels if label.attribute_of and label.name in _COMPILED
    }
    matches = sorted(_matches(sentence, owners, inside))
    masked = _masked(sentence, matches)
    pairs = []
    for start, end, kind in matches:
        owned = [(index, first, last) for index, first, last, label in inside if label == owners[kind]]
        for index in _owners(masked, start, end, _MAX_DISTANCE[kind], owned):
            text = sentence[start:end]
            pairs.append((index, Attribute(start=offset + start, end=offset + end, text=text, kind=kind)))
    return tuple(pairs)


def is_attribute(text: str, start: int, end: int) -> bool:
    """True if [start, end) is a dosage, a frequency or a route, or lies within one: "qAM"."""
    return any(
        match.start() <= start and end <= match.end()
        for kind in ("dosage", "frequency", "route")
        for match in _COMPILED[kind].finditer(text, max(0, start - _MAX_OVERHANG), end + _MAX_OVERHANG)
    )


def medication_name_within(text: str, start: int, end: int) -> tuple[int, int]:
    """The span of the medication name in a tagged span, without the attributes that it contains or cuts.

    Removes the route from "intravenous methylprednisolone", the strength from "5% lignocaine", and the
    frequency that the tagged span "Tylenol p.r" cuts in "Tylenol p.r.n.".
    """
    while (match := _BEFORE_NAME.match(text, start, end)) and match.end() < end:
        start = match.end()
    for kind in ("dosage", "frequency"):
        for match in _COMPILED[kind].finditer(text, start, end + _MAX_OVERHANG):
            if start < match.start() < end <= match.end():
                end = match.start()
    if count := _DISPENSED_COUNT.search(text, start, end):
        end = count.start()
    return start, start + len(text[start:end].rstrip(" ,"))


_OwnerSpans = list[tuple[int, int, int]]
"""Index, start and end of each entity."""


def _matches(
    sentence: str, owners: Mapping[str, str | None], inside: Sequence[tuple[int, int, int, str]]
) -> Iterator[tuple[int, int, str]]:
    """Yields the spans that match a pattern outside the entities; of overlapping kinds the first wins."""
    taken = [(first, last) for _, first, last, _ in inside]
    present = {label for *_, label in inside}
    for kind in _COMPILED:
        if owners.get(kind) not in present:
            continue
        for match in _COMPILED[kind].finditer(sentence):
            start, end = match.start(), match.end()
            if sentence[start:end].strip() and all(end <= first or last <= start for first, last in taken):
                taken.append((start, end))
                yield start, end, kind


def _masked(sentence: str, matches: Sequence[tuple[int, int, str]]) -> str:
    """The sentence with its attributes blanked out, so that they do not count as distance or separator."""
    characters = list(sentence)
    for start, end, _ in matches:
        characters[start:end] = " " * (end - start)
    return "".join(characters)


def _owners(masked: str, start: int, end: int, max_distance: int, owned: _OwnerSpans) -> tuple[int, ...]:
    """Indexes of the entities that own an attribute.

    The entity right after it ("10 mg of X", "oral X"), otherwise the nearest before it together with those
    that share its verb ("X, Y and Z were normal").
    """
    following = min(
        (entity for entity in owned if entity[1] >= end), key=lambda entity: entity[1], default=None
    )
    before = sorted((entity for entity in owned if entity[2] <= start), key=lambda entity: entity[2])
    gap = masked[before[-1][2] : start] if before else ""
    distance = len(" ".join(gap.split()))
    if (
        following is not None
        and LEADING_WORDS.fullmatch(masked[end : following[1]])
        and (not before or gap.strip())
    ):
        return (following[0],)
    if not before or distance > max_distance or _SEPARATOR.search(gap):
        return ()
    nearest = before.pop()
    between = masked[before[-1][2] : nearest[1]].strip() if before else ""
    is_in_brackets = between == "(" and gap.lstrip().startswith(")")
    if before and (is_in_brackets or (not between and masked[nearest[1]] == "(")):
        nearest = before.pop()  # "ejection fraction (EF) of 55": the name, not its abbreviation
    shared = [nearest[0]]
    while (
        _PLURAL_VERB.match(gap) and before and _LIST_SEPARATOR.fullmatch(masked[before[-1][2] : nearest[1]])
    ):
        nearest = before.pop()
        shared.append(nearest[0])
    return tuple(reversed(shared))
