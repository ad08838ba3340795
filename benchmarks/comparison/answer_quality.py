"""Quality of answers on public dev data: strict F1 of entities (bc5cdr), set F1 of search (ncbi_disease).

The scores are training.evaluation's; here is only how a peer's written answers are put back in their places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.comparison.short_answers import (
    TextUnit,
    answering_parts,
    entities_prompt,
    parse_entities,
    search_prompt,
    text_units,
)
from benchmarks.comparison.workload import BenchmarkPrompt, GeneratedAnswer
from benchmarks.peers.notemill_engine import NotemillPipeline
from models.answers import Span
from models.labels import load_labels
from models.settings import Settings
from training.evaluation import entity_evaluation, search_evaluation
from training.evaluation.metrics.counts import Counts
from training.evaluation.metrics.span_matching import Marked, strict
from training.evaluation.pipeline_runner import Asking
from training.evaluation.records.evaluation_data import Record, file_of, names_here, read_records
from training.evaluation.records.evaluation_queries import Asked as Query
from training.evaluation.records.evaluation_queries import queries_of
from worker.engine.api import Engine
from worker.entities.entity_task import PATTERNED
from worker.entities.list_grounding import place, spread
from worker.weights.task_config import task_config

Answers = Callable[[Sequence[BenchmarkPrompt]], list[GeneratedAnswer]]


@dataclass(frozen=True, slots=True)
class AnswerQuality:
    """F1, 0 to 1, over all records together."""

    entities_f1: float
    search_f1: float
    records: int


def of_contender(one: Any, *, settings: Settings, data: Path, limit: int, pieces: TextUnit) -> AnswerQuality:
    """Of ours, which decides, or of a peer, which writes."""
    if isinstance(one, NotemillPipeline):
        return pipeline_quality(one.engine, settings, data, limit)
    return generated_quality(one.answer, settings, data, limit, pieces)


def pipeline_quality(engine: Engine, settings: Settings, data: Path, limit: int) -> AnswerQuality:
    """Ours, through the worker's own pipeline."""
    labels = load_labels(settings.labels_file)
    asking = Asking(engine, task_config(settings), labels, settings.worker_threads)
    (path, records), (other, notes) = _records(data, limit)
    marked = entity_evaluation.evaluate(records, path, {}, (), asking).figures
    found = search_evaluation.evaluate(notes, other, (), asking).figures
    return AnswerQuality(marked["strict"]["f1"], found["set"]["f1"], len(records))


def generated_quality(
    answers: Answers, settings: Settings, data: Path, limit: int, pieces: TextUnit = "windows"
) -> AnswerQuality:
    """A peer, in its brief form, asked for the labels that the data has.

    What it wrote is put back in its places as the worker does it.
    """
    labels = [one.name for one in load_labels(settings.labels_file)]
    (_, records), (other, notes) = _records(data, limit)
    names, queries = names_here(records, {}, labels), queries_of(notes, other)
    listed = [one for one in labels if one in names.values() and one not in PATTERNED]
    of_records = [
        (i, one["text"], s) for i, one in enumerate(records) for s in text_units(one["text"], pieces)
    ]
    of_queries = [(i, one.text, s) for i, one in enumerate(queries) for s in text_units(one.text, pieces)]
    lists = answers([entities_prompt(i, text[s.start : s.end], listed) for i, text, s in of_records])
    quotes = answers(
        [search_prompt(i, text[s.start : s.end], queries[i].query, pieces) for i, text, s in of_queries]
    )
    found: list[list[Marked]] = [[] for _ in records]
    for (i, text, piece), one in zip(of_records, lists, strict=True):
        found[i] += _placed(text, piece, one.text, set(names.values()))
    marked = [
        strict(some, entity_evaluation.gold_spans(one, names))
        for some, one in zip(found, records, strict=True)
    ]
    parts: list[list[tuple[Span, str]]] = [[] for _ in queries]
    for (i, text, piece), one in zip(of_queries, quotes, strict=True):
        found_here = answering_parts(text[piece.start : piece.end], one.text, pieces)
        parts[i] += [(piece, part) for part in found_here]
    chosen = [_quoted(one, some) for one, some in zip(queries, parts, strict=True)]
    return AnswerQuality(_f1(marked), _f1(chosen), len(records))


def _records(data: Path, limit: int) -> list[tuple[Path, list[Record]]]:
    paths = [file_of(data / name) for name in ("bc5cdr", "ncbi_disease")]
    return [(path, read_records(path, limit=limit)) for path in paths]


def _placed(text: str, piece: Span, answer: str, labels: set[str]) -> list[Marked]:
    placed = spread(text, piece, place(text, piece, parse_entities(answer)).placed)
    return [Marked(one.start, one.end, one.label) for one in placed if one.label in labels]


def _quoted(query: Query, parts: Sequence[tuple[Span, str]]) -> Counts:
    """A sentence is chosen where a part that was quoted of its piece stands in it."""
    chosen = [
        any(
            piece.start <= one.start < piece.end and part in query.text[one.start : one.end]
            for piece, part in parts
        )
        for one in query.sentences
    ]
    right = sum(a and b for a, b in zip(chosen, query.relevant, strict=True))
    return Counts(right, sum(chosen), right, sum(query.relevant))


def _f1(counts: Sequence[Counts]) -> float:
    return round(sum(counts, Counts()).f1, 4)
