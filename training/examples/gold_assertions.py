"""Gold assertions: maps annotated negation, uncertainty, history and family to the worker's assertions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.answers import Assertion

_POLARITY = {
    "NEG": Assertion.NEGATED,
    "UNCERTAIN": Assertion.POSSIBLE,
    "MAYBE_POS": Assertion.POSSIBLE,
    "MAYBE_NEG": Assertion.POSSIBLE,
}
_COVERING = {"Family_history": Assertion.FAMILY, "History": Assertion.HISTORICAL}
"""MACCROBAT annotates these as spans; a mention inside one has the assertion."""


def has_assertions(entities: Sequence[Mapping[str, Any]]) -> bool:
    """True if a record annotates assertions; its mentions without one are then present."""
    return any(
        "assertion" in entity or "polarity" in entity or entity["label"] in _COVERING for entity in entities
    )


def assertion_of(entity: Mapping[str, Any], entities: Sequence[Mapping[str, Any]]) -> Assertion:
    """The gold assertion: our own field, else MACCROBAT's polarity and the spans around the mention.

    Of several the first counts: negated, family, possible, historical.
    """
    if "assertion" in entity:
        return Assertion(entity["assertion"])
    covering = {
        _COVERING[other["label"]]
        for other in entities
        if other["label"] in _COVERING and other["start"] <= entity["start"] and entity["end"] <= other["end"]
    }
    polarity = _POLARITY.get(entity.get("polarity", ""))
    if polarity is Assertion.NEGATED:
        return polarity
    if Assertion.FAMILY in covering:
        return Assertion.FAMILY
    return polarity or next(iter(covering), Assertion.PRESENT)
