"""Quality of answers on public dev data: strict F1 of entities (bc5cdr), set F1 of search (ncbi_disease).

The scores are training.evaluation's; here is only how a peer's written answers are put back in their places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.brief import entities_asked, items_of, quoted, search_asked
from benchmarks.work import Answer, Asked
from models.answers import Span
from models.labels import load_labels
from models.settings import Settings
from training.evaluation import entities, search
from training.evaluation.asking import Asking
from training.evaluation.counts import Counts
from training.evaluation.data import Record, file_of, names_here, read_records
from training.evaluation.queries import Asked as Query
from training.evaluation.queries import queries_of
from training.evaluation.spans import Marked, strict
from worker.engine import Engine
from worker.entities import PATTERNED
from worker.grounding import place, spread
from worker.recipes import ways

Answers = Callable[[Sequence[Asked]], list[Answer]]


@dataclass(frozen=True, slots=True)
class Quality:
    """F1, 0 to 1, over all records together."""

    entities_f1: float
    search_f1: float
    records: int


def of_decided(engine: Engine, settings: Settings, data: Path, limit: int) -> Quality:
    """Ours, through the worker's own pipeline."""
    labels = load_labels(settings.labels_file)
    asking = Asking(engine, ways(settings), labels, settings.worker_threads)
    (path, records), (other, notes) = _records(data, limit)
    marked = entities.evaluate(records, path, {}, (), asking).figures
    found = search.evaluate(notes, other, (), asking).figures
    return Quality(marked["strict"]["f1"], found["set"]["f1"], len(records))


def of_written(answers: Answers, settings: Settings, data: Path, limit: int) -> Quality:
    """A peer, in its brief form; what it wrote is put back in its places as the worker does it."""
    labels = [one.name for one in load_labels(settings.labels_file)]
    (_, records), (other, notes) = _records(data, limit)
    names, queries = names_here(records, {}, labels), queries_of(notes, other)
    listed = [one for one in labels if one not in PATTERNED]
    lists = answers([entities_asked(i, one["text"], listed) for i, one in enumerate(records)])
    quotes = answers([search_asked(i, one.text, one.query) for i, one in enumerate(queries)])
    marked = [
        strict(_placed(one["text"], answer.text, set(names.values())), entities.gold_spans(one, names))
        for one, answer in zip(records, lists, strict=True)
    ]
    found = [_quoted(one, answer.text) for one, answer in zip(queries, quotes, strict=True)]
    return Quality(_f1(marked), _f1(found), len(records))


def _records(data: Path, limit: int) -> list[tuple[Path, list[Record]]]:
    paths = [file_of(data / name) for name in ("bc5cdr", "ncbi_disease")]
    return [(path, read_records(path, limit=limit)) for path in paths]


def _placed(text: str, answer: str, labels: set[str]) -> list[Marked]:
    window = Span(start=0, end=len(text))
    placed = spread(text, window, place(text, window, items_of(answer)).placed)
    return [Marked(one.start, one.end, one.label) for one in placed if one.label in labels]


def _quoted(query: Query, answer: str) -> Counts:
    """A sentence is chosen where any quoted part stands in it."""
    parts = quoted(answer)
    chosen = [any(part in query.text[one.start : one.end] for part in parts) for one in query.sentences]
    right = sum(a and b for a, b in zip(chosen, query.relevant, strict=True))
    return Counts(right, sum(chosen), right, sum(query.relevant))


def _f1(counts: Sequence[Counts]) -> float:
    return round(sum(counts, Counts()).f1, 4)
