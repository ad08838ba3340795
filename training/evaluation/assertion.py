"""Assertions of given spans: what the worker says of a gold mention once it is found.

Reads three forms: `sentence` with NegEx's three answers, MACCROBAT's polarity on entities, and our own
`assertion` on entities. No network: assertions are rules on the note.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.answers import Assertion
from models.labels import Label
from training.evaluation import negex
from training.evaluation.cases import Case, Mark, Side
from training.evaluation.counts import Counts, figures, mean_interval
from training.evaluation.data import KNOWN_NAMES, DataError, Record, wants
from training.evaluation.result import Result
from worker.entities import entities_of
from worker.note import Note
from worker.reading import Mention

_POLARITY = {
    "NEG": Assertion.NEGATED,
    "UNCERTAIN": Assertion.POSSIBLE,
    "MAYBE_POS": Assertion.POSSIBLE,
    "MAYBE_NEG": Assertion.POSSIBLE,
}
_COVERING = {"Family_history": Assertion.FAMILY, "History": Assertion.HISTORICAL}
"""MACCROBAT marks these as spans; a mention inside one is so."""
_TOLD_OF = frozenset({"problem", "medication", "procedure", "test"})
_FACETS = {
    "negation": Assertion.NEGATED,
    "possible": Assertion.POSSIBLE,
    "historical": Assertion.HISTORICAL,
    "family": Assertion.FAMILY,
    "conditional": Assertion.CONDITIONAL,
}


@dataclass(frozen=True, slots=True)
class _Asked:
    """One gold mention of a text, and what it is."""

    start: int
    end: int
    gold: Assertion
    label: str = "problem"


def evaluate(records: Sequence[Record], path: Path, baselines: Sequence[str]) -> Result:
    """One figure a facet: the share of mentions of which the worker rightly says that it holds, or not."""
    wants(records, path, "sentence start end negation", "text entities")
    texts: list[str] = [record["sentence" if "sentence" in record else "text"] for record in records]
    asked = [list(_asked(record)) for record in records]
    if not any(asked):
        raise DataError(f"{path}: no entity has a polarity or an assertion, so there is nothing to compare.")
    told = {one.gold for some in asked for one in some}
    ours = [_known(_of_worker(text, some), told) for text, some in zip(texts, asked, strict=True)]
    measured = _measure(asked, ours)
    if "negex" in baselines:
        theirs = [
            _known([negex.assertion(text, one.start, one.end) for one in some], told)
            for text, some in zip(texts, asked, strict=True)
        ]
        measured["baselines"] = {"negex": _measure(asked, theirs)}
    cases = [
        _case(str(record.get("id", "")), text, some, said)
        for record, text, some, said in zip(records, texts, asked, ours, strict=True)
    ]
    return Result(measured, cases)


def _asked(record: Record) -> Iterable[_Asked]:
    if "sentence" in record:
        if record["start"] is not None:  # six of NegEx's concepts are not in their sentence
            yield _Asked(record["start"], record["end"], _of_negex(record))
        return
    entities = record["entities"]
    is_polar = any("polarity" in one or one["label"] in _COVERING for one in entities)
    for one in entities:
        label = KNOWN_NAMES.get(one["label"], one["label"].lower())
        if "assertion" in one:
            yield _Asked(one["start"], one["end"], Assertion(one["assertion"]), label)
        elif is_polar and label in _TOLD_OF:
            yield _Asked(one["start"], one["end"], _of_maccrobat(one, entities), label)


def _of_negex(record: Record) -> Assertion:
    """Of several the first, in the worker's order."""
    if record["negation"] == "negated":
        return Assertion.NEGATED
    if record.get("experiencer", "patient") not in ("patient", ""):
        return Assertion.FAMILY
    if record["negation"] == "possible":
        return Assertion.POSSIBLE
    if record.get("temporality") == "not particular":
        return Assertion.CONDITIONAL
    return Assertion.HISTORICAL if record.get("temporality") == "historical" else Assertion.PRESENT


def _of_maccrobat(entity: Record, entities: Sequence[Record]) -> Assertion:
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


def _of_worker(text: str, asked: Sequence[_Asked]) -> list[Assertion]:
    """As the pipeline makes entities of marks; windows are not needed, so tokens are not counted."""
    note = Note.of(text, len, 1, 1)
    mentions = [Mention(one.start, one.end, one.label, None) for one in asked]
    labels = [Label(name=one, definition="any") for one in {one.label for one in asked}]
    said = {(one.start, one.end): one.assertion for one in entities_of(note, mentions, labels)}
    return [said[one.start, one.end] for one in asked]


def _known(said: Sequence[Assertion], told: Collection[Assertion]) -> list[Assertion]:
    """What the data tells nowhere counts as present: it does not annotate it."""
    return [one if one in told else Assertion.PRESENT for one in said]


def _measure(asked: Sequence[Sequence[_Asked]], said: Sequence[Sequence[Assertion]]) -> dict[str, Any]:
    pairs = [[(a.gold, b) for a, b in zip(*one, strict=True)] for one in zip(asked, said, strict=True)]
    flat = [pair for some in pairs for pair in some]
    counts = Counter(gold.value for gold, _ in flat)
    return {
        "accuracy": _share([gold is one for gold, one in flat]),
        "accuracy_interval": mean_interval([gold is one for gold, one in flat]),
        **{
            name: {
                "accuracy": _share([(gold is facet) == (one is facet) for gold, one in flat]),
                **figures([_counts(some, facet) for some in pairs]),
                "mentions": counts[facet.value],
            }
            for name, facet in _FACETS.items()
            if counts[facet.value]
        },
        "mentions": len(flat),
    }


def _counts(pairs: Iterable[tuple[Assertion, Assertion]], facet: Assertion) -> Counts:
    listed = list(pairs)
    right = sum(gold is facet and one is facet for gold, one in listed)
    found, gold = sum(one is facet for _, one in listed), sum(gold is facet for gold, _ in listed)
    return Counts(right, found, right, gold)


def _share(hits: Sequence[bool]) -> float:
    return round(sum(hits) / len(hits), 4) if hits else 0.0


def _case(title: str, text: str, asked: Sequence[_Asked], said: Sequence[Assertion]) -> Case:
    pairs = list(zip(asked, said, strict=True))
    gold = [Mark(a.start, a.end, a.gold.value, a.gold is one) for a, one in pairs]
    found = [Mark(a.start, a.end, one.value, a.gold is one) for a, one in pairs]
    errors = sum(not mark.is_right for mark in gold)
    return Case(title, Side(text, tuple(gold)), Side(text, tuple(found)), errors)
