"""brat's standoff form (.ann): text-bound annotations, and attributes that say an assertion."""

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
"""By the attribute's name in small letters."""


def brat_entities(annotations: str, left_out: Counter[str]) -> list[dict[str, Any]]:
    """T lines as entities, A and M lines as their assertions; discontinuous ones are left out and counted."""
    by_id: dict[str, dict[str, Any]] = {}
    for line in annotations.splitlines():
        identity, _, rest = line.partition("\t")
        if identity.startswith("T"):
            head, _, text = rest.partition("\t")
            label, *places = head.split(maxsplit=2)
            if len(places) != 2 or not all(place.isdecimal() for place in places):
                left_out["a discontinuous mention"] += 1
                continue
            by_id[identity] = {"start": int(places[0]), "end": int(places[1]), "text": text, "label": label}
    for line in annotations.splitlines():
        identity, _, rest = line.partition("\t")
        if identity[:1] in ("A", "M"):
            name, target, *value = rest.split()
            said = _ASSERTIONS.get((value[0] if value else name).lower()) or _ASSERTIONS.get(name.lower())
            if target in by_id and said is not None:
                by_id[target]["assertion"] = said.value
    return list(by_id.values())
