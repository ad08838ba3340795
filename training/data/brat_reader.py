"""Reader for brat's standoff format (.ann): text-bound annotations, and attributes for the assertion."""

from __future__ import annotations

from collections import Counter
from typing import Any

from models.answers import Assertion

_ASSERTIONS = {
    "negation": Assertion.NEGATED,
    "negated": Assertion.NEGATED,
    "speculation": Assertion.POSSIBLE,
    "possible": Assertion.POSSIBLE,
    "historical": Assertion.HISTORICAL,
    "family": Assertion.FAMILY,
    "conditional": Assertion.CONDITIONAL,
}
"""Assertions by the attribute's name in lower case."""


def brat_entities(annotations: str, left_out: Counter[str]) -> list[dict[str, Any]]:
    """Reads T lines as entities, A and M lines as their assertions; leaves out discontinuous mentions."""
    by_id: dict[str, dict[str, Any]] = {}
    lines = [line.removesuffix("\r").partition("\t") for line in annotations.split("\n")]
    for identity, _, rest in lines:
        if identity.startswith("T"):
            head, _, text = rest.partition("\t")
            label, *offsets = head.split(maxsplit=2) or [""]
            if not label or len(offsets) != 2 or not all(map(_is_offset, offsets)):
                left_out["a discontinuous mention" if offsets else "a malformed line"] += 1
                continue
            by_id[identity] = {"start": int(offsets[0]), "end": int(offsets[1]), "text": text, "label": label}
    for identity, _, rest in lines:
        if identity[:1] in ("A", "M"):
            name, target, value, *_ = [*rest.split(), "", "", ""]
            assertion = _ASSERTIONS.get((value or name).lower()) or _ASSERTIONS.get(name.lower())
            if target in by_id and assertion is not None:
                by_id[target]["assertion"] = assertion.value
    return list(by_id.values())


def _is_offset(offset: str) -> bool:
    return offset.isdecimal() and len(offset) < 10
