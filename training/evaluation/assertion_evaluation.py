"""Evaluation of assertions of gold mentions.

Reads three forms: `sentence` with NegEx's three answers, MACCROBAT's polarity on entities, and our own
`assertion` on entities. The network reads the note where an adapter has a negation model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from models.answers import Assertion
from models.labels import Label
from training.evaluation.baselines import negex
from training.evaluation.cases import Case, CaseMark, Side
from training.evaluation.evaluation_result import Result
from training.evaluation.metrics.counts import Counts, figures, mean_interval
from training.evaluation.pipeline_runner import PipelineRunner
from training.evaluation.records.evaluation_data import LABEL_BY_SOURCE_NAME, DataError, Record, wants
from training.examples.gold_assertions import assertion_of, has_assertions
from worker.entities.entity_task import entities_of
from worker.entities.window_tagging import Mention, negation_log_odds, tagging_requests
from worker.note.parsed_note import Note
from worker.weights.negation_model import NEGATABLE_LABELS

_FACETS = {
    "negation": Assertion.NEGATED,
    "possible": Assertion.POSSIBLE,
    "historical": Assertion.HISTORICAL,
    "family": Assertion.FAMILY,
    "conditional": Assertion.CONDITIONAL,
}


@dataclass(frozen=True, slots=True)
class _Asked:
    """One gold mention of a text and its assertion."""

    start: int
    end: int
    gold: Assertion
    label: str = "problem"


def evaluate(
    records: Sequence[Record], path: Path, baselines: Sequence[str], asking: PipelineRunner | None = None
) -> Result:
    """One figure a facet: the share of mentions of which the worker rightly says that it holds, or not.

    `asking`: with a network whose word counts; none: the rules alone.
    """
    wants(records, path, "sentence start end negation", "text entities")
    texts: list[str] = [record["sentence" if "sentence" in record else "text"] for record in records]
    asked = [list(_asked(record)) for record in records]
    if not any(asked):
        raise DataError(f"{path}: no entity has a polarity or an assertion, so there is nothing to compare.")
    told = {one.gold for some in asked for one in some}
    with ThreadPoolExecutor(asking.threads if asking else 1) as pool:
        said_of = pool.map(partial(_of_worker, asking=asking), texts, asked)
        ours = [_known(said, told) for said in said_of]
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
    is_polar = has_assertions(entities)
    for one in entities:
        label = LABEL_BY_SOURCE_NAME.get(one["label"], one["label"].lower())
        if "assertion" in one or (is_polar and label in NEGATABLE_LABELS):
            yield _Asked(one["start"], one["end"], assertion_of(one, entities), label)


def _of_negex(record: Record) -> Assertion:
    """The first of several assertions, in the worker's order."""
    if record["negation"] == "negated":
        return Assertion.NEGATED
    if record.get("experiencer", "patient") not in ("patient", ""):
        return Assertion.FAMILY
    if record["negation"] == "possible":
        return Assertion.POSSIBLE
    if record.get("temporality") == "not particular":
        return Assertion.CONDITIONAL
    return Assertion.HISTORICAL if record.get("temporality") == "historical" else Assertion.PRESENT


def _of_worker(text: str, asked: Sequence[_Asked], asking: PipelineRunner | None) -> list[Assertion]:
    """As the pipeline makes entities of marks."""
    denied = None
    if asking is None:  # windows are not needed, so tokens are not counted
        note = Note.of(text, len, 1, 1)
    else:
        config = asking.config
        note = Note.of(text, asking.engine.count_tokens, config.window_tokens, config.summary_window_tokens)
        denied = negation_log_odds(note, asking.engine.answer(tagging_requests(note, config)))
    mentions = [
        Mention(
            *(one.start, one.end, one.label, None),
            negation_log_odds=denied.at(one.end)
            if denied is not None and one.label in NEGATABLE_LABELS
            else None,
        )
        for one in asked
    ]
    labels = [Label(name=one, definition="any") for one in {one.label for one in asked}]
    entities = entities_of(note, mentions, labels, asking.config.negation_model if asking else None)
    said = {(one.start, one.end): one.assertion for one in entities}
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
    gold = [CaseMark(a.start, a.end, a.gold.value, a.gold is one) for a, one in pairs]
    found = [CaseMark(a.start, a.end, one.value, a.gold is one) for a, one in pairs]
    errors = sum(not mark.is_right for mark in gold)
    return Case(title, Side(text, tuple(gold)), Side(text, tuple(found)), errors)
