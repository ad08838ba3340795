"""Differences between two answers to the same question. Pure; does not import the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["kept", "gained", "lost", "relabelled", "asserted otherwise"]


@dataclass(frozen=True, slots=True)
class Change:
    """One mention or passage, and how it changed."""

    kind: Kind
    text: str
    before: str = ""
    after: str = ""
    """The label or assertion afterwards, where it differs."""


def entity_changes(before: Iterable[dict[str, Any]], after: Iterable[dict[str, Any]]) -> Iterator[Change]:
    """Changes by characters: a changed label, otherwise a changed assertion."""
    old, new = _by_place(before), _by_place(after)
    for place in sorted(old.keys() | new.keys()):
        one, other = old.get(place), new.get(place)
        if one is None or other is None:
            found = other or one or {}
            yield Change("lost" if other is None else "gained", found["text"], after=found["label"])
        elif one["label"] != other["label"]:
            yield Change("relabelled", one["text"], one["label"], other["label"])
        elif one["assertion"] != other["assertion"]:
            yield Change("asserted otherwise", one["text"], one["assertion"], other["assertion"])
        else:
            yield Change("kept", one["text"])


def passage_changes(before: Iterable[dict[str, Any]], after: Iterable[dict[str, Any]]) -> Iterator[Change]:
    """Changes by characters; the score may differ."""
    old, new = _by_place(before), _by_place(after)
    for place in sorted(old.keys() | new.keys()):
        kind: Kind = "kept" if place in old and place in new else "gained" if place in new else "lost"
        yield Change(kind, (new.get(place) or old[place])["text"])


def counted(changes: Iterable[Change]) -> dict[str, int]:
    """Counts by kind of change, in a fixed order."""
    found = Counter(change.kind for change in changes)
    kinds: tuple[Kind, ...] = ("kept", "gained", "lost", "relabelled", "asserted otherwise")
    return {kind: found[kind] for kind in kinds}


def _by_place(items: Iterable[dict[str, Any]]) -> dict[tuple[int, int], dict[str, Any]]:
    return {(one["start"], one["end"]): one for one in items}
