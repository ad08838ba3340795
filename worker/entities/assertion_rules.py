"""Assertion rules: negation, uncertainty, temporality and experiencer of a mention, by trigger phrases.

After NegEx (Chapman 2001) and ConText (Harkema 2009); the phrases are in assertion_triggers.toml.
The rules use only the sentence of the mention and the kind of its section.
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

_PRIORITY = (
    Assertion.NEGATED,
    Assertion.FAMILY,
    Assertion.CONDITIONAL,
    Assertion.POSSIBLE,
    Assertion.HISTORICAL,
)
"""Priority among several assertions: "no family history of cancer" must not count as family history."""

_SECTION_ASSERTIONS = {
    "family_history": Assertion.FAMILY,
    "past_history": Assertion.HISTORICAL,
    "differential": Assertion.POSSIBLE,
    "allergies": Assertion.CONDITIONAL,
}
"""The assertion that a kind of section implies for its mentions."""
_STILL_CURRENT = frozenset({("past_history", "medication")})
"""Section kinds and labels without that implication: medications of a past history are mostly still taken."""
_TREATMENTS = frozenset({"medication", "procedure"})
_ACTIONS = _TREATMENTS | {"test"}
"""Labels of what is done to or for a patient; the other labels are findings."""
_NEVER_NEGATED = "anatomy"
"""A label that is never negated: none of 2,208 mentions in MACCROBAT's training and dev halves is."""
_OTHER_TABLES: dict[str, tuple[Assertion, frozenset[str] | None]] = {
    "undone": (Assertion.NEGATED, _ACTIONS),
    "untreated": (Assertion.NEGATED, _TREATMENTS),
    "prefixed": (Assertion.NEGATED, None),
    "needed": (Assertion.CONDITIONAL, None),
    "danger": (Assertion.CONDITIONAL, frozenset({"problem"})),
    "allergy": (Assertion.CONDITIONAL, frozenset({"medication"})),
}
"""Tables of assertion_triggers.toml that are not named after an assertion, with their assertion and labels.

Dangers apply to problems only: what is done or given often follows in the same sentence.
"""
_CLOSING_SIGNS = (",", ".", ")")
"""Characters that close a scope right after its trigger: "all negative, his cough"."""
_TRIGGER_WITHIN_MENTION = re.compile(r"(?:no|not|without|never|did not)\b")
"""Triggers that may lie within a mention ("no fever"); "absence of appetite" is a finding by itself."""
_MAX_ITEM_WORDS = 5
"""Maximum words of a list item: "depressive affect or eye problems"."""
_ANOTHER_DOSE = r"\band\s+(?=\d)"
"""Ends a scope at the next dose: "lidocaine without epinephrine and 0.5% bupivacaine"."""
_OMITTED_WORDS = r"(?:[^\s.;]+\s+){0,12}?"
_Ranges = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class _AssertionRules:
    """The trigger phrases of one assertion."""

    assertion: Assertion
    labels: frozenset[str] | None
    """Labels to which the rules apply; None: findings for negation, all labels for other assertions."""
    before: re.Pattern[str]
    """A trigger before the mention, in the group `trigger`, or a pseudo-trigger without the group."""
    after: re.Pattern[str]
    """The same after the mention."""
    scope_words: int
    """Length of the scope after a trigger, in words."""
    scope_words_after: int
    """Length of the scope back from a trigger of `after`, in words."""

    def apply_to(self, label: str) -> bool:
        """True if the rules apply to mentions with this label."""
        if self.labels is not None:
            return label in self.labels
        return self.assertion is not Assertion.NEGATED or label not in _ACTIONS


@dataclass(frozen=True, slots=True)
class _Scope:
    """The part [start, end) of a sentence to which a trigger applies."""

    trigger_start: int
    """The first possible start of a mention: the trigger itself if it may lie within, otherwise `start`."""
    start: int
    end: int
    rules: _AssertionRules


def assertion(
    sentence: str, start: int, end: int, section_kind: str | None = None, label: str = "problem"
) -> Assertion:
    """The assertion of the mention sentence[start:end].

    `section_kind`: the kind of its section, as in `worker.note.section_headings`.
    """
    return highest_priority(assertions(sentence, start, end, section_kind, label))


def highest_priority(statuses: frozenset[Assertion]) -> Assertion:
    """The assertion with the highest priority; PRESENT if there is none."""
    return next((status for status in _PRIORITY if status in statuses), Assertion.PRESENT)


def assertions(
    sentence: str, start: int, end: int, section_kind: str | None = None, label: str = "problem"
) -> frozenset[Assertion]:
    """All assertions of the mention sentence[start:end]; empty means present, as always for anatomy."""
    if label == _NEVER_NEGATED:
        return frozenset()
    statuses = {
        scope.rules.assertion
        for scope in _scopes(sentence)
        if scope.trigger_start <= start and scope.start < end <= scope.end and scope.rules.apply_to(label)
    }
    if section_kind in _SECTION_ASSERTIONS and (section_kind, label) not in _STILL_CURRENT:
        statuses.add(_SECTION_ASSERTIONS[section_kind])
    return frozenset(statuses)


@lru_cache(maxsize=64)
def _scopes(sentence: str) -> tuple[_Scope, ...]:
    """The scopes of all triggers of a sentence; cached because a sentence often has several mentions."""
    text = sentence.lower().replace("’", "'")
    if len(text) != len(sentence):  # some letters are longer in lower case: İ
        text = "".join(letter.lower() if len(letter.lower()) == 1 else letter for letter in sentence)
    ends, rules = _rules()
    scope_ends = [match.span() for match in ends.finditer(text)]
    words = [match.span() for match in re.finditer(r"[^\s]+", text)]
    scopes: list[_Scope] = []
    for rule in rules:
        trigger_ends = {}
        for match in rule.before.finditer(text):
            trigger_ends[match.start()] = match.end()
            is_closed = rule.assertion is Assertion.NEGATED and text.startswith(_CLOSING_SIGNS, match.end())
            if match["trigger"] and not is_closed:
                end = _scope_end(text, match.end(), scope_ends, words, rule.scope_words)
                first = match.start() if _TRIGGER_WITHIN_MENTION.match(match.group()) else match.end()
                scopes.append(_Scope(first, match.end(), end, rule))
        for match in rule.after.finditer(text):
            # A trigger of `before` wins: "free of pain" negates what follows, not what precedes.
            if match["trigger"] and trigger_ends.get(match.start(), 0) <= match.end():
                start = _scope_start(match.start(), scope_ends, words, rule.scope_words_after)
                scopes.append(_Scope(start, start, match.start(), rule))
    return tuple(scopes)


def _scope_end(text: str, offset: int, scope_ends: _Ranges, words: _Ranges, max_words: int) -> int:
    """The end of a scope that begins at `offset`: the next scope end or the word limit.

    A limit of 0 covers only the rest of the word. A list of short items is covered whatever its length:
    "negative for tremors, headaches, …".
    """
    if not max_words:
        return next((end for _, end in words if end > offset), offset)
    following = [span for span in words if span[0] >= offset]
    by_words = following[max_words - 1][1] if len(following) >= max_words else len(text)
    return min(
        [max(by_words, _list_end(text, following)), *(start for start, _ in scope_ends if start >= offset)]
    )


def _list_end(text: str, following: Sequence[tuple[int, int]]) -> int:
    """The end of a comma-separated list: the last item before the first item that is too long."""
    list_end, item_words = 0, 0
    for _, end in following:
        item_words += 1
        if item_words > _MAX_ITEM_WORDS:
            break
        if text[end - 1] in ",.":
            list_end, item_words = end, 0
    return list_end


def _scope_start(offset: int, scope_ends: _Ranges, words: _Ranges, max_words: int) -> int:
    """The start of a scope that ends at `offset`: the previous scope end or the word limit."""
    preceding = [start for start, end in words if end <= offset]
    by_words = preceding[-max_words] if len(preceding) >= max_words else 0
    return max([by_words, *(end for _, end in scope_ends if end <= offset)])


@cache
def _rules() -> tuple[re.Pattern[str], tuple[_AssertionRules, ...]]:
    tables: dict[str, Any] = tomllib.loads(
        Path(__file__).with_name("assertion_triggers.toml").read_text("utf-8")
    )
    ends = re.compile(_alternatives(tables.pop("ends")) + f"|[{tables.pop('ends_at')}]|{_ANOTHER_DOSE}")
    rules = []
    for name, table in tables.items():
        pseudo = [*table["pseudo"], *_narrator_phrases(table)]
        before, after = (_triggers(table[side], pseudo) for side in ("before", "after"))
        rule_assertion, labels = _OTHER_TABLES[name] if name in _OTHER_TABLES else (Assertion(name), None)
        rules.append(
            _AssertionRules(rule_assertion, labels, before, after, table["scope"], table["scope_after"])
        )
    return ends, tuple(rules)


def _narrator_phrases(table: dict[str, Any]) -> Iterator[str]:
    """Yields pseudo-triggers such as "her husband noted": a relative who narrates is not the experiencer."""
    for relative in table.get("relatives", []):
        yield from (f"{relative} {verb}" for verb in table["telling"])
        yield from (f"{context} {relative}" for context in table["beside"])


def _triggers(phrases: list[str], pseudo: list[str]) -> re.Pattern[str]:
    """A pattern of triggers; a pseudo-trigger wins over a trigger that it contains or begins with."""
    return re.compile(f"{_alternatives(pseudo)}|(?P<trigger>{_alternatives(phrases)})")


def _alternatives(phrases: Iterable[str]) -> str:
    """A pattern of alternatives, the longest phrase first."""
    return "|".join(_phrase(phrase) for phrase in sorted(phrases, key=lambda phrase: (-len(phrase), phrase)))


def _phrase(phrase: str) -> str:
    """The pattern of a phrase; "…" stands for up to twelve words of the same clause."""
    escaped = r"\s+".join(re.escape(word) for word in phrase.split()).replace(r"…\s+", _OMITTED_WORDS)
    return (
        (r"(?<![\w-])" if phrase[0].isalnum() else "") + escaped + (r"(?!\w)" if phrase[-1].isalnum() else "")
    )
