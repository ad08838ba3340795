"""Assertion rules: negation, uncertainty, temporality and experiencer of a mention, by trigger phrases and
scopes.

The rules are NegEx's (Chapman 2001) and ConText's (Harkema 2009); the phrases are in assertion_triggers.toml.
They look at one sentence and the kind of its section only.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from models.answers import Assertion

_ORDER = (
    Assertion.NEGATED,
    Assertion.FAMILY,
    Assertion.CONDITIONAL,
    Assertion.POSSIBLE,
    Assertion.HISTORICAL,
)
"""Priority among several that hold: "no family history of cancer" must not count as family history."""

_OF_SECTION = {
    "family_history": Assertion.FAMILY,
    "past_history": Assertion.HISTORICAL,
    "differential": Assertion.POSSIBLE,
    "allergies": Assertion.CONDITIONAL,
}


_STILL = frozenset({("past_history", "medication")})
"""Section and label whose mentions usually still hold: medications of the past history are mostly still
taken."""
_TREATMENTS = frozenset({"medication", "procedure"})
_DONE = _TREATMENTS | {"test"}
"""Labels of what is done to a patient; the other labels are findings."""
_ALWAYS_THERE = "anatomy"
"""A label that is never negated; none of 2,208 is in MACCROBAT's training and dev halves."""
_BESIDE: dict[str, tuple[Assertion, frozenset[str] | None]] = {
    "undone": (Assertion.NEGATED, _DONE),
    "untreated": (Assertion.NEGATED, _TREATMENTS),
    "prefixed": (Assertion.NEGATED, None),
    "needed": (Assertion.CONDITIONAL, None),
    "danger": (Assertion.CONDITIONAL, frozenset({"problem"})),
    "allergy": (Assertion.CONDITIONAL, frozenset({"medication"})),
}
"""Tables that are not named after an assertion, with their assertion and labels. Dangers are named before
something is done or given, often in the same sentence."""
_CLOSING = (",", ".", ")")
"""Characters that end a scope right after a phrase: "all negative, his cough"."""
_WITHIN = re.compile(r"(?:no|not|without|never|did not)\b")
"""Triggers that a finding may contain ("no fever"); an "absence of appetite" is a finding of its own."""
_ITEM_WORDS = 5
"""Most words of a list item: "depressive affect or eye problems"."""
_ANOTHER_DOSE = r"\band\s+(?=\d)"
"""Ends a scope: "lidocaine without epinephrine and 0.5% bupivacaine"."""
_SOME_WORDS = r"(?:[^\s.;]+\s+){0,12}?"
_Ranges = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class _Rules:
    """The phrases of one assertion."""

    assertion: Assertion
    labels: frozenset[str] | None
    """Labels that the rules apply to; None: findings for negation, otherwise all labels."""
    before: re.Pattern[str]
    """A phrase before a finding, as the group `trigger`, or a pseudo-trigger without the group."""
    after: re.Pattern[str]
    scope_words: int
    scope_words_after: int

    def are_of(self, label: str) -> bool:
        """True where the rules apply to a mention with this label."""
        if self.labels is not None:
            return label in self.labels
        return self.assertion is not Assertion.NEGATED or label not in _DONE


@dataclass(frozen=True, slots=True)
class _Scope:
    """[start, end) of a sentence in which a trigger applies to findings."""

    trigger_start: int
    """Start of a trigger that stands before and may be part of a finding, otherwise `start`."""
    start: int
    end: int
    rules: _Rules


def assertion(
    sentence: str, start: int, end: int, section_kind: str | None = None, label: str = "problem"
) -> Assertion:
    """The assertion of the mention sentence[start:end]; `section_kind` as in worker.note.section_headings."""
    return highest_priority(assertions(sentence, start, end, section_kind, label))


def highest_priority(held: frozenset[Assertion]) -> Assertion:
    """The assertion with the highest priority among several."""
    return next((one for one in _ORDER if one in held), Assertion.PRESENT)


def assertions(
    sentence: str, start: int, end: int, section_kind: str | None = None, label: str = "problem"
) -> frozenset[Assertion]:
    """Every assertion that holds for sentence[start:end]; empty means present, as for anatomy always."""
    if label == _ALWAYS_THERE:
        return frozenset()
    held = {
        scope.rules.assertion
        for scope in _scopes(sentence)
        if scope.trigger_start <= start and scope.start < end <= scope.end and scope.rules.are_of(label)
    }
    if section_kind in _OF_SECTION and (section_kind, label) not in _STILL:
        held.add(_OF_SECTION[section_kind])
    return frozenset(held)


@lru_cache(maxsize=64)
def _scopes(sentence: str) -> tuple[_Scope, ...]:
    """The scopes of every trigger, cached, since the findings of one sentence follow each other."""
    text = sentence.lower().replace("’", "'")
    if len(text) != len(sentence):  # a letter whose small form is longer, as İ
        text = "".join(letter.lower() if len(letter.lower()) == 1 else letter for letter in sentence)
    ends, rules = _rules()
    borders = [match.span() for match in ends.finditer(text)]
    words = [match.span() for match in re.finditer(r"[^\s]+", text)]
    scopes: list[_Scope] = []
    for rule in rules:
        openings = {}
        for match in rule.before.finditer(text):
            openings[match.start()] = match.end()
            is_closed = rule.assertion is Assertion.NEGATED and text.startswith(_CLOSING, match.end())
            if match["trigger"] and not is_closed:
                end = _reach(text, match.end(), borders, words, rule.scope_words)
                first = match.start() if _WITHIN.match(match.group()) else match.end()
                scopes.append(_Scope(first, match.end(), end, rule))
        for match in rule.after.finditer(text):
            # "free of pain" tells of what follows, and nothing before is free.
            if match["trigger"] and openings.get(match.start(), 0) <= match.end():
                start = _reach_back(match.start(), borders, words, rule.scope_words_after)
                scopes.append(_Scope(start, start, match.start(), rule))
    return tuple(scopes)


def _reach(text: str, offset: int, borders: _Ranges, words: _Ranges, limit: int) -> int:
    """The end of a scope that opens at `offset`: the next border or the word limit; 0: its own word. A list
    of short items counts as one however long it is: "negative for tremors, headaches, …"."""
    if not limit:
        return next((end for _, end in words if end > offset), offset)
    following = [span for span in words if span[0] >= offset]
    by_words = following[limit - 1][1] if len(following) >= limit else len(text)
    return min(
        [max(by_words, _list_end(text, following)), *(start for start, _ in borders if start >= offset)]
    )


def _list_end(text: str, following: Sequence[tuple[int, int]]) -> int:
    """The end of the last item of a comma-separated list, up to the first item that is too long."""
    reached, item = 0, 0
    for _, end in following:
        item += 1
        if item > _ITEM_WORDS:
            break
        if text[end - 1] in ",.":
            reached, item = end, 0
    return reached


def _reach_back(offset: int, borders: _Ranges, words: _Ranges, limit: int) -> int:
    preceding = [start for start, end in words if end <= offset]
    by_words = preceding[-limit] if len(preceding) >= limit else 0
    return max([by_words, *(end for _, end in borders if end <= offset)])


@cache
def _rules() -> tuple[re.Pattern[str], tuple[_Rules, ...]]:
    tables: dict[str, Any] = tomllib.loads(
        Path(__file__).with_name("assertion_triggers.toml").read_text("utf-8")
    )
    ends = re.compile(_alternatives(tables.pop("ends")) + f"|[{tables.pop('ends_at')}]|{_ANOTHER_DOSE}")
    rules = []
    for name, table in tables.items():
        pseudo = [*table["pseudo"], *_of_relatives(table)]
        before, after = (_triggers(table[side], pseudo) for side in ("before", "after"))
        told, labels = _BESIDE[name] if name in _BESIDE else (Assertion(name), None)
        rules.append(_Rules(told, labels, before, after, table["scope"], table["scope_after"]))
    return ends, tuple(rules)


def _of_relatives(table: dict[str, Any]) -> Iterator[str]:
    """Spans such as "her husband noted" or "in the care of his mother": a narrator is not the experiencer."""
    for who in table.get("relatives", []):
        yield from (f"{who} {telling}" for telling in table["telling"])
        yield from (f"{beside} {who}" for beside in table["beside"])


def _triggers(phrases: list[str], pseudo: list[str]) -> re.Pattern[str]:
    """Triggers in a sentence; a pseudo-trigger wins over a trigger that it contains or begins with."""
    return re.compile(f"{_alternatives(pseudo)}|(?P<trigger>{_alternatives(phrases)})")


def _alternatives(phrases: Iterable[str]) -> str:
    """A pattern of alternatives, the longest phrase first."""
    return "|".join(_phrase(phrase) for phrase in sorted(phrases, key=lambda phrase: (-len(phrase), phrase)))


def _phrase(phrase: str) -> str:
    """A phrase as a pattern; "…" stands for some words of the same clause."""
    escaped = r"\s+".join(re.escape(word) for word in phrase.split()).replace(r"…\s+", _SOME_WORDS)
    return (
        (r"(?<![\w-])" if phrase[0].isalnum() else "") + escaped + (r"(?!\w)" if phrase[-1].isalnum() else "")
    )
