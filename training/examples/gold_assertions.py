"""What annotated data says of a mention: whether, when and of whom it holds, in the worker's words."""

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
"""MACCROBAT marks these as spans; a mention inside one is so."""


def has_assertions(entities: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a record says anything of its mentions' assertions, so that the rest of them are present."""
    return any("assertion" in one or "polarity" in one or one["label"] in _COVERING for one in entities)


def assertion_of(entity: Mapping[str, Any], entities: Sequence[Mapping[str, Any]]) -> Assertion:
    """Our own word for it, else MACCROBAT's polarity and the spans around it; of several the first."""
    if "assertion" in entity:
        return Assertion(entity["assertion"])
    covering = {
        _COVERING[one["label"]]
        for one in entities
        if one["label"] in _COVERING and one["start"] <= entity["start"] and entity["end"] <= one["end"]
    }
    polarity = _POLARITY.get(entity.get("polarity", ""))
    if polarity is Assertion.NEGATED:
        return polarity
    if Assertion.FAMILY in covering:
        return Assertion.FAMILY
    return polarity or next(iter(covering), Assertion.PRESENT)
