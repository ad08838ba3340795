"""Quality of answers on public dev data: strict F1 of entities (bc5cdr), set F1 of search (ncbi_disease).

A search query names one concept of the record; relevant are the sentences that mention it by any name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.brief import Pieces, entities_asked, items_of, pieces_of, quoted, search_asked
from benchmarks.work import Answer, Asked
from models.answers import EntitiesAnswer, SearchAnswer, Span, Task
from models.jobs import Job, Question, Work
from models.labels import load_labels
from models.outcomes import Finished
from models.settings import Settings
from training.examples import LABELS_OF, read_corpus
from worker.entities import PATTERNED
from worker.grounding import place, spread
from worker.pipeline import process
from worker.recipes import ways
from worker.sentences import sentences

Found = set[tuple[Any, ...]]
Answers = Callable[[Sequence[Asked]], list[Answer]]


@dataclass(frozen=True, slots=True)
class Quality:
    """F1, 0 to 1, over all records together."""

    entities_f1: float
    search_f1: float
    records: int


def of_decided(engine: Any, settings: Settings, data: Path, limit: int) -> Quality:
    """Ours, through the worker's own pipeline."""
    labels, how = load_labels(settings.labels_file), ways(settings)

    def answer(text: str, question: Question) -> Any:
        owed = labels if question.task is Task.ENTITIES else ()
        job = Job(id=0, question=question, recipe_id="", labels=owed, attempt=1)
        [[(_, outcome)]] = process(Work(document_id=0, text=text, jobs=(job,)), engine=engine, how=how)
        return outcome.answer if isinstance(outcome, Finished) else None

    def entities(text: str) -> Found:
        found = answer(text, Question(task=Task.ENTITIES))
        assert isinstance(found, EntitiesAnswer)
        return {(one.start, one.end, one.label) for one in found.entities}

    def search(text: str, query: str) -> Found:
        found = answer(text, Question(task=Task.SEARCH, parameters={"query": query}))
        assert isinstance(found, SearchAnswer)
        return {(one.start, one.end) for one in found.passages}

    marked, asked = _entity_records(data, limit), _search_records(data, limit)
    return Quality(
        _f1([(entities(text), gold) for text, gold in marked]),
        _f1([(search(text, query), gold) for text, query, gold in asked]),
        len(marked),
    )


def of_written(
    answers: Answers, settings: Settings, data: Path, limit: int, pieces: Pieces = "windows"
) -> Quality:
    """A peer, in its brief form; what it wrote is put back in its places as the worker does it."""
    names = [one.name for one in load_labels(settings.labels_file) if one.name not in PATTERNED]
    marked, asked = _entity_records(data, limit), _search_records(data, limit)
    of_marked = [(i, text, span) for i, (text, _) in enumerate(marked) for span in pieces_of(text, pieces)]
    of_asked = [(i, text, span) for i, (text, _, _) in enumerate(asked) for span in pieces_of(text, pieces)]
    lists = answers([entities_asked(i, text[s.start : s.end], names) for i, text, s in of_marked])
    quotes = answers([search_asked(i, text[s.start : s.end], asked[i][1]) for i, text, s in of_asked])
    entities: list[Found] = [set() for _ in marked]
    for (i, text, span), one in zip(of_marked, lists, strict=True):
        entities[i] |= _placed(text, span, one.text)
    passages: list[Found] = [set() for _ in asked]
    for (i, text, span), one in zip(of_asked, quotes, strict=True):
        passages[i] |= _quoted(text, span, one.text)
    return Quality(
        _f1([(found, gold) for found, (_, gold) in zip(entities, marked, strict=True)]),
        _f1([(found, gold) for found, (_, _, gold) in zip(passages, asked, strict=True)]),
        len(marked),
    )


def _entity_records(data: Path, limit: int) -> list[tuple[str, Found]]:
    names = LABELS_OF["bc5cdr"]
    return [
        (record["text"], {(e["start"], e["end"], names[e["label"]]) for e in record["entities"]})
        for record in read_corpus(data, "bc5cdr", "dev")[:limit]
    ]


def _search_records(data: Path, limit: int) -> list[tuple[str, str, Found]]:
    found = []
    for record in read_corpus(data, "ncbi_disease", "dev")[:limit]:
        if record["entities"]:
            asked = record["entities"][0]
            hits = [e for e in record["entities"] if e["concept"] == asked["concept"]]
            gold = {
                (one.start, one.end)
                for one in sentences(record["text"])
                if any(one.start <= e["start"] < one.end for e in hits)
            }
            found.append((record["text"], asked["text"], gold))
    return found


def _placed(text: str, window: Span, answer: str) -> Found:
    placed = place(text, window, items_of(answer)).placed
    return {(one.start, one.end, one.label) for one in spread(text, window, placed)}


def _quoted(text: str, window: Span, answer: str) -> Found:
    parts = quoted(answer)
    return {
        (one.start, one.end)
        for one in sentences(text)
        if window.start <= one.start < window.end and any(part in text[one.start : one.end] for part in parts)
    }


def _f1(pairs: Sequence[tuple[Found, Found]]) -> float:
    """Micro: labels that the corpus does not annotate are left out of what was found."""
    known = {one[2] for _, gold in pairs for one in gold if len(one) == 3}
    kept = [({one for one in found if len(one) < 3 or one[2] in known}, gold) for found, gold in pairs]
    right = sum(len(found & gold) for found, gold in kept)
    total = sum(len(found) + len(gold) for found, gold in kept)
    return round(2 * right / total, 4) if total else 0.0
