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
        earlier, later = old.get(place), new.get(place)
        if earlier is None or later is None:
            entity = later or earlier or {}
            yield Change("lost" if later is None else "gained", entity["text"], after=entity["label"])
        elif earlier["label"] != later["label"]:
            yield Change("relabelled", earlier["text"], earlier["label"], later["label"])
        elif earlier["assertion"] != later["assertion"]:
            yield Change("asserted otherwise", earlier["text"], earlier["assertion"], later["assertion"])
        else:
            yield Change("kept", earlier["text"])


def passage_changes(before: Iterable[dict[str, Any]], after: Iterable[dict[str, Any]]) -> Iterator[Change]:
    """Changes by characters; the score may differ."""
    old, new = _by_place(before), _by_place(after)
    for place in sorted(old.keys() | new.keys()):
        kind: Kind = "kept" if place in old and place in new else "gained" if place in new else "lost"
        yield Change(kind, (new.get(place) or old[place])["text"])


def counted(changes: Iterable[Change]) -> dict[str, int]:
    """Counts by kind of change, in a fixed order."""
    counts = Counter(change.kind for change in changes)
    kinds: tuple[Kind, ...] = ("kept", "gained", "lost", "relabelled", "asserted otherwise")
    return {kind: counts[kind] for kind in kinds}


def _by_place(items: Iterable[dict[str, Any]]) -> dict[tuple[int, int], dict[str, Any]]:
    return {(item["start"], item["end"]): item for item in items}
