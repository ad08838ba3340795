"""Quality of answers on public dev data: strict F1 of entities (bc5cdr), set F1 of search (ncbi_disease).

training.evaluation computes the scores. This module aligns a peer's generated answers with the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.comparison.short_answers import (
    TextUnit,
    answering_parts,
    entities_prompt,
    parse_entities,
    search_prompt,
    text_units,
)
from benchmarks.comparison.workload import Contender
from models.answers import Span
from models.labels import load_labels
from models.settings import Settings
from training.evaluation import entity_evaluation, search_evaluation
from training.evaluation.metrics.counts import Counts
from training.evaluation.metrics.span_matching import LabeledSpan, strict
from training.evaluation.pipeline_runner import PipelineRunner
from training.evaluation.records.evaluation_data import Record, file_of, label_mapping, read_records
from training.evaluation.records.evaluation_queries import EvaluationQuery as Query
from training.evaluation.records.evaluation_queries import evaluation_queries
from worker.engine.api import Engine
from worker.entities.attribute_patterns import PATTERN_KINDS
from worker.entities.list_grounding import ground, with_repeats
from worker.weights.task_config import task_config


@dataclass(frozen=True, slots=True)
class AnswerQuality:
    """Micro-averaged F1, 0 to 1, over all records."""

    entities_f1: float
    search_f1: float
    records: int


class HasEngine(Protocol):
    """The contender that runs the worker's pipeline."""

    engine: Engine


def pipeline_quality(contender: HasEngine, *, settings: Settings, data: Path, limit: int) -> AnswerQuality:
    """Quality of notemill's answers through the worker's own pipeline."""
    labels = load_labels(settings.labels_file)
    asking = PipelineRunner(contender.engine, task_config(settings), labels, settings.worker_threads)
    (path, records), (other, notes) = _records(data, limit)
    entity_figures = entity_evaluation.evaluate(records, path, {}, (), asking).figures
    search_figures = search_evaluation.evaluate(notes, other, (), asking).figures
    return AnswerQuality(entity_figures["strict"]["f1"], search_figures["set"]["f1"], len(records))


def generated_quality(
    contender: Contender, *, settings: Settings, data: Path, limit: int, unit: TextUnit = "windows"
) -> AnswerQuality:
    """Quality of a peer's answers in the short form, asked for the labels that the data has.

    Generated mentions are aligned with the text as the worker aligns them.
    """
    labels = [label.name for label in load_labels(settings.labels_file)]
    (_, records), (other, notes) = _records(data, limit)
    names, queries = label_mapping(records, {}, labels), evaluation_queries(notes, other)
    label_names = [label for label in labels if label in names.values() and label not in PATTERN_KINDS]
    of_records = [
        (i, record["text"], s) for i, record in enumerate(records) for s in text_units(record["text"], unit)
    ]
    of_queries = [(i, query.text, s) for i, query in enumerate(queries) for s in text_units(query.text, unit)]
    lists = contender.answer(
        [entities_prompt(i, text[s.start : s.end], label_names) for i, text, s in of_records]
    )
    quotations = contender.answer(
        [search_prompt(i, text[s.start : s.end], queries[i].query, unit) for i, text, s in of_queries]
    )
    mentions: list[list[LabeledSpan]] = [[] for _ in records]
    for (i, text, span), answer in zip(of_records, lists, strict=True):
        mentions[i] += _aligned(text, span, answer.text, set(names.values()))
    mention_counts = [
        strict(predicted, entity_evaluation.gold_spans(record, names))
        for predicted, record in zip(mentions, records, strict=True)
    ]
    parts: list[list[tuple[Span, str]]] = [[] for _ in queries]
    for (i, text, span), answer in zip(of_queries, quotations, strict=True):
        quoted = answering_parts(text[span.start : span.end], answer.text, unit)
        parts[i] += [(span, part) for part in quoted]
    selected = [_count_sentences(query, quoted) for query, quoted in zip(queries, parts, strict=True)]
    return AnswerQuality(_f1(mention_counts), _f1(selected), len(records))


def _records(data: Path, limit: int) -> list[tuple[Path, list[Record]]]:
    paths = [file_of(data / name) for name in ("bc5cdr", "ncbi_disease")]
    return [(path, read_records(path, limit=limit)) for path in paths]


def _aligned(text: str, span: Span, answer: str, labels: set[str]) -> list[LabeledSpan]:
    mentions = with_repeats(text, span, ground(text, span, parse_entities(answer)).mentions)
    return [
        LabeledSpan(mention.start, mention.end, mention.label)
        for mention in mentions
        if mention.label in labels
    ]


def _count_sentences(query: Query, parts: Sequence[tuple[Span, str]]) -> Counts:
    """Counts of selected sentences: those that contain a part quoted from their text unit."""
    selected = [
        any(
            span.start <= sentence.start < span.end and part in query.text[sentence.start : sentence.end]
            for span, part in parts
        )
        for sentence in query.sentences
    ]
    correct = sum(a and b for a, b in zip(selected, query.relevant, strict=True))
    return Counts(correct, sum(selected), correct, sum(query.relevant))


def _f1(counts: Sequence[Counts]) -> float:
    return round(sum(counts, Counts()).f1, 4)
