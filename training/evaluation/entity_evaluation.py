"""Evaluation of entities: spans and labels against gold, and calibration of probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.answers import Answer, Assertion, EntitiesAnswer, Task
from models.jobs import Question
from training.evaluation.baselines.dictionary import Dictionary
from training.evaluation.baselines.registry import EntityBaseline
from training.evaluation.baselines.scispacy import SciSpacy
from training.evaluation.cases import Case, Highlight, Side
from training.evaluation.evaluation_result import Result
from training.evaluation.metrics import assertion_metrics, calibration_error
from training.evaluation.metrics.assertion_metrics import AssertedSpan, matched_pairs
from training.evaluation.metrics.counts import figures
from training.evaluation.metrics.span_matching import LabeledSpan, of_label, overlap, strict, touches
from training.evaluation.pipeline_runner import PipelineRunner, are_offsets_true
from training.evaluation.records.evaluation_data import Record, label_mapping, require_fields
from training.examples.gold_assertions import assertion_of, has_assertions

ASSERTED_LABELS = ("problem", "medication", "test", "procedure")
"""Labels whose mentions have an assertion; body parts have none."""


@dataclass(frozen=True, slots=True)
class _PredictedSpans:
    """The spans of one answer that have labels of the data."""

    spans: list[LabeledSpan]
    probabilities: dict[LabeledSpan, float]


def evaluate(
    records: Sequence[Record],
    path: Path,
    label_map: Mapping[str, str],
    baselines: Sequence[str],
    runner: PipelineRunner,
) -> Result:
    """Requests entities for every record's text. Unmapped labels are ignored."""
    require_fields(records, path, "text entities")
    names = label_mapping(records, label_map, [label.name for label in runner.labels])
    gold = [gold_spans(record, names) for record in records]
    entity_baselines = {name: _baseline(name, path) for name in baselines}
    answers = runner.ask([r["text"] for r in records], [Question(task=Task.ENTITIES)] * len(records))
    predictions = [_of_answer(answer, set(names.values())) for answer in answers.answers]
    offset_checks = [
        are_offsets_true(record["text"], answer)
        for record, answer in zip(records, answers.answers, strict=True)
        if answer is not None
    ]
    spans = [prediction.spans for prediction in predictions]
    measured = measure(spans, gold)
    measured["offsets_true"] = sum(offset_checks) / len(offset_checks) if offset_checks else 1.0
    measured["calibration"] = _calibration(predictions, gold)
    if any(has_assertions(record["entities"]) for record in records):
        measured["assertion"] = _assertion_figures(records, answers.answers, names)
    measured |= {"labels_map": names, **answers.figures()}
    for name, baseline in entity_baselines.items():
        baseline_spans = [_mapped(baseline(record["text"]), names) for record in records]
        measured.setdefault("baselines", {})[name] = measure(baseline_spans, gold)
    cases = [_case(*case) for case in zip(records, spans, gold, strict=True)]
    return Result(measured, cases)


def gold_spans(record: Record, names: Mapping[str, str]) -> list[LabeledSpan]:
    """Gold mentions with mapped labels, under our names."""
    return [
        LabeledSpan(entity["start"], entity["end"], names[entity["label"]])
        for entity in record["entities"]
        if entity["label"] in names
    ]


def measure(
    predicted: Sequence[Sequence[LabeledSpan]], gold: Sequence[Sequence[LabeledSpan]]
) -> dict[str, Any]:
    """Micro metrics over all labels, over the labels with assertions, and by label."""
    pairs = list(zip(predicted, gold, strict=True))
    labels = sorted({span.label for spans in gold for span in spans})
    asserted_pairs = [(_asserted(p), _asserted(g)) for p, g in pairs]
    return {
        "strict": figures([strict(*pair) for pair in pairs]),
        "overlap": figures([overlap(*pair) for pair in pairs]),
        "four_labels": {
            "strict": figures([strict(*pair) for pair in asserted_pairs]),
            "overlap": figures([overlap(*pair) for pair in asserted_pairs]),
        },
        "by_label": {
            label: _of_one(label, pairs) | {"mentions": sum(len(of_label(g, label)) for _, g in pairs)}
            for label in labels
        },
    }


def _asserted(spans: Sequence[LabeledSpan]) -> list[LabeledSpan]:
    return [span for span in spans if span.label in ASSERTED_LABELS]


def _of_one(
    label: str, pairs: Sequence[tuple[Sequence[LabeledSpan], Sequence[LabeledSpan]]]
) -> dict[str, Any]:
    own_pairs = [(of_label(predicted, label), of_label(gold, label)) for predicted, gold in pairs]
    return {
        "strict": figures([strict(*pair) for pair in own_pairs]),
        "overlap": figures([overlap(*pair) for pair in own_pairs]),
    }


def _of_answer(answer: Answer | None, labels: set[str]) -> _PredictedSpans:
    """The spans of an answer; attributes count as entities, for the data annotates them so."""
    spans, probabilities = [], {}
    if isinstance(answer, EntitiesAnswer):
        for entity in answer.entities:
            span = LabeledSpan(entity.start, entity.end, entity.label)
            attribute_spans = [LabeledSpan(a.start, a.end, a.kind) for a in entity.attributes]
            spans += [candidate for candidate in (span, *attribute_spans) if candidate.label in labels]
            if entity.probability is not None and span.label in labels:
                probabilities[span] = entity.probability
    return _PredictedSpans(list(dict.fromkeys(spans)), probabilities)


def _calibration(
    predictions: Sequence[_PredictedSpans], gold: Sequence[Sequence[LabeledSpan]]
) -> dict[str, object]:
    pairs = [
        (probability, span in right_spans)
        for prediction, gold_spans_of_note in zip(predictions, gold, strict=True)
        for right_spans in (set(gold_spans_of_note),)
        for span, probability in prediction.probabilities.items()
    ]
    return calibration_error.figures([probability for probability, _ in pairs], [hit for _, hit in pairs])


def _assertion_figures(
    records: Sequence[Record], answers: Sequence[Answer | None], names: Mapping[str, str]
) -> dict[str, Any]:
    """Assertions of the gold mentions that the answers found, end to end."""
    pairs: list[tuple[Assertion, Assertion]] = []
    for record, answer in zip(records, answers, strict=True):
        entities = record["entities"]
        gold = [
            AssertedSpan(
                entity["start"], entity["end"], names[entity["label"]], assertion_of(entity, entities)
            )
            for entity in entities
            if names.get(entity["label"]) in ASSERTED_LABELS
        ]
        predicted = [
            AssertedSpan(entity.start, entity.end, entity.label, entity.assertion)
            for entity in (answer.entities if isinstance(answer, EntitiesAnswer) else ())
        ]
        pairs += matched_pairs(gold, predicted)
    return assertion_metrics.figures(pairs)


def _baseline(name: str, path: Path) -> EntityBaseline:
    return Dictionary.beside(path) if name == "dictionary" else SciSpacy()


def _mapped(spans: Sequence[LabeledSpan], names: Mapping[str, str]) -> list[LabeledSpan]:
    return [span._replace(label=names[span.label]) for span in spans if span.label in names]


def _case(record: Record, predicted: Sequence[LabeledSpan], gold: Sequence[LabeledSpan]) -> Case:
    missed, wrong = set(gold) - set(predicted), set(predicted) - set(gold)
    near = [span for span in wrong if touches(span, missed)]
    remarks = [
        f"right label, other borders: {record['text'][span.start : span.end]}" for span in sorted(near)
    ]
    return Case(
        title=str(record.get("id", "")),
        gold=Side(record["text"], tuple(Highlight(*span, is_right=span not in missed) for span in gold)),
        predicted=Side(
            record["text"], tuple(Highlight(*span, is_right=span not in wrong) for span in predicted)
        ),
        errors=len(missed) + len(wrong),
        remarks=tuple(remarks),
    )
