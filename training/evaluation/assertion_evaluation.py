"""Evaluation of assertions of gold mentions: negation, uncertainty, history, family, condition.

Reads three formats: `sentence` with NegEx's three answers, MACCROBAT's polarity on entities, and our own
`assertion` on entities. With a negation model in the adapter the network reads the note as well.
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
from training.evaluation.cases import Case, Highlight, Side
from training.evaluation.evaluation_result import Result
from training.evaluation.metrics.counts import Counts, figures, mean_interval
from training.evaluation.pipeline_runner import PipelineRunner
from training.evaluation.records.evaluation_data import (
    LABEL_BY_SOURCE_NAME,
    DataError,
    Record,
    require_fields,
)
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
class _GoldMention:
    """One gold mention of a text and its assertion."""

    start: int
    end: int
    gold: Assertion
    label: str = "problem"


def evaluate(
    records: Sequence[Record], path: Path, baselines: Sequence[str], runner: PipelineRunner | None = None
) -> Result:
    """Metrics by facet, such as negation: accuracy, precision, recall and F1 over the gold mentions.

    `runner`: the network whose negation model counts too; None: the rules alone.
    """
    require_fields(records, path, "sentence start end negation", "text entities")
    texts: list[str] = [record["sentence" if "sentence" in record else "text"] for record in records]
    mentions_by_record = [list(_gold_mentions(record)) for record in records]
    if not any(mentions_by_record):
        raise DataError(f"{path}: no entity has a polarity or an assertion, so there is nothing to compare.")
    annotated = {mention.gold for mentions in mentions_by_record for mention in mentions}
    with ThreadPoolExecutor(runner.threads if runner else 1) as pool:
        assertions_by_record = pool.map(
            partial(_pipeline_assertions, runner=runner), texts, mentions_by_record
        )
        predicted = [_annotated_only(assertions, annotated) for assertions in assertions_by_record]
    measured = _measure(mentions_by_record, predicted)
    if "negex" in baselines:
        baseline = [
            _annotated_only(
                [negex.assertion(text, mention.start, mention.end) for mention in mentions], annotated
            )
            for text, mentions in zip(texts, mentions_by_record, strict=True)
        ]
        measured["baselines"] = {"negex": _measure(mentions_by_record, baseline)}
    cases = [
        _case(str(record.get("id", "")), text, mentions, assertions)
        for record, text, mentions, assertions in zip(
            records, texts, mentions_by_record, predicted, strict=True
        )
    ]
    return Result(measured, cases)


def _gold_mentions(record: Record) -> Iterable[_GoldMention]:
    if "sentence" in record:
        if record["start"] is not None:  # six of NegEx's concepts are not in their sentence
            yield _GoldMention(record["start"], record["end"], _negex_gold(record))
        return
    entities = record["entities"]
    is_annotated = has_assertions(entities)
    for entity in entities:
        label = LABEL_BY_SOURCE_NAME.get(entity["label"], entity["label"].lower())
        if "assertion" in entity or (is_annotated and label in NEGATABLE_LABELS):
            yield _GoldMention(entity["start"], entity["end"], assertion_of(entity, entities), label)


def _negex_gold(record: Record) -> Assertion:
    """The gold assertion; of several the first in the worker's order."""
    if record["negation"] == "negated":
        return Assertion.NEGATED
    if record.get("experiencer", "patient") not in ("patient", ""):
        return Assertion.FAMILY
    if record["negation"] == "possible":
        return Assertion.POSSIBLE
    if record.get("temporality") == "not particular":
        return Assertion.CONDITIONAL
    return Assertion.HISTORICAL if record.get("temporality") == "historical" else Assertion.PRESENT


def _pipeline_assertions(
    text: str, gold_mentions: Sequence[_GoldMention], runner: PipelineRunner | None
) -> list[Assertion]:
    """The assertions that the worker's pipeline gives the gold mentions."""
    negation = None
    if runner is None:  # windows are not needed, so tokens are not counted
        note = Note.of(text, len, 1, 1)
    else:
        config = runner.config
        note = Note.of(text, runner.engine.count_tokens, config.window_tokens, config.summary_window_tokens)
        negation = negation_log_odds(note, runner.engine.answer(tagging_requests(note, config)))
    mentions = [
        Mention(
            *(mention.start, mention.end, mention.label, None),
            negation_log_odds=negation.at(mention.end)
            if negation is not None and mention.label in NEGATABLE_LABELS
            else None,
        )
        for mention in gold_mentions
    ]
    names = {mention.label for mention in gold_mentions}
    labels = [Label(name=name, definition="any") for name in names]
    entities = entities_of(note, mentions, labels, runner.config.negation_model if runner else None)
    assertion_by_span = {(entity.start, entity.end): entity.assertion for entity in entities}
    return [assertion_by_span[mention.start, mention.end] for mention in gold_mentions]


def _annotated_only(assertions: Sequence[Assertion], annotated: Collection[Assertion]) -> list[Assertion]:
    """Replaces assertions that the data never uses by present, for the data does not annotate them."""
    return [assertion if assertion in annotated else Assertion.PRESENT for assertion in assertions]


def _measure(
    mentions_by_record: Sequence[Sequence[_GoldMention]], predicted_by_record: Sequence[Sequence[Assertion]]
) -> dict[str, Any]:
    pairs = [
        [(mention.gold, predicted) for mention, predicted in zip(mentions, assertions, strict=True)]
        for mentions, assertions in zip(mentions_by_record, predicted_by_record, strict=True)
    ]
    flat = [pair for pairs_of_record in pairs for pair in pairs_of_record]
    counts = Counter(gold.value for gold, _ in flat)
    return {
        "accuracy": _share([gold is predicted for gold, predicted in flat]),
        "accuracy_interval": mean_interval([gold is predicted for gold, predicted in flat]),
        **{
            name: {
                "accuracy": _share([(gold is facet) == (predicted is facet) for gold, predicted in flat]),
                **figures([_counts(pairs_of_record, facet) for pairs_of_record in pairs]),
                "mentions": counts[facet.value],
            }
            for name, facet in _FACETS.items()
            if counts[facet.value]
        },
        "mentions": len(flat),
    }


def _counts(pairs: Iterable[tuple[Assertion, Assertion]], facet: Assertion) -> Counts:
    hits = [(gold is facet, predicted is facet) for gold, predicted in pairs]
    right = sum(is_gold and is_predicted for is_gold, is_predicted in hits)
    return Counts(
        right, sum(is_predicted for _, is_predicted in hits), right, sum(is_gold for is_gold, _ in hits)
    )


def _share(hits: Sequence[bool]) -> float:
    return round(sum(hits) / len(hits), 4) if hits else 0.0


def _case(title: str, text: str, mentions: Sequence[_GoldMention], assertions: Sequence[Assertion]) -> Case:
    pairs = list(zip(mentions, assertions, strict=True))
    gold_highlights = [
        Highlight(mention.start, mention.end, mention.gold.value, mention.gold is predicted)
        for mention, predicted in pairs
    ]
    predicted_highlights = [
        Highlight(mention.start, mention.end, predicted.value, mention.gold is predicted)
        for mention, predicted in pairs
    ]
    errors = sum(not highlight.is_right for highlight in gold_highlights)
    return Case(title, Side(text, tuple(gold_highlights)), Side(text, tuple(predicted_highlights)), errors)
