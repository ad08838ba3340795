"""Search queries of a data set: a text, what is asked of it, and the sentences that answer.

Three forms are read: records with `queries`; annotated concepts, asked by a name that the note does not use
for all of them; and questions with answers, each among the answers of two other questions.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.answers import Span
from training.evaluation.records.evaluation_data import DataError, Record, wants
from worker.note.sentence_splitter import sentences

_ANSWER_SENTENCES = 4
_OTHERS = (7, 31)
"""How many rows further the two other answers of a question's text stand; any fixed numbers do."""


@dataclass(frozen=True, slots=True)
class EvaluationQuery:
    """One query on one text."""

    id: str
    text: str
    query: str
    sentences: tuple[Span, ...]
    relevant: tuple[bool, ...]
    """For each sentence whether it is relevant; at least one is."""


def evaluation_queries(records: Sequence[Record], path: Path) -> list[EvaluationQuery]:
    """The queries of records. Raises DataError where there are none."""
    wants(records, path, "text queries", "text entities", "question answer")
    if "queries" in records[0]:
        asked = [one for record in records for one in _stated(record)]
    elif "question" in records[0]:
        asked = list(_questions(records))
    else:
        asked = list(_concepts(records))
    if not asked:
        raise DataError(f"{path}: no concept is named in two ways, so there is nothing to search for.")
    return asked


def _stated(record: Record) -> Iterator[EvaluationQuery]:
    """`queries`: [{"query": str, "relevant": [[start, end], ...]}, ...]"""
    for number, one in enumerate(record["queries"]):
        name = f"{record.get('id', '')}/{number}"
        yield from _asked(name, record["text"], one["query"], [(s, e) for s, e in one["relevant"]])


def _concepts(records: Sequence[Record]) -> Iterator[EvaluationQuery]:
    """Each concept of a note, by a name of it that the data has elsewhere, else by the note's rarest own.

    A concept is asked for only where the note also names it otherwise than the query does.
    """
    names: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        for one in record["entities"]:
            if one.get("concept"):
                names[one["concept"]][one["text"].lower()] += 1
    for record in records:
        mentions: dict[str, list[Record]] = defaultdict(list)
        for one in record["entities"]:
            if one.get("concept"):
                mentions[one["concept"]].append(one)
        for concept, some in mentions.items():
            query = _other_name(names[concept], Counter(one["text"].lower() for one in some))
            if query is not None:
                hits = [(one["start"], one["end"]) for one in some]
                yield from _asked(f"{record.get('id', '')}/{concept}", record["text"], query, hits)


def _other_name(everywhere: Mapping[str, int], here: Mapping[str, int]) -> str | None:
    """The most frequent name that the note does not use, else its own rarest beside another; none."""
    elsewhere = sorted(everywhere.keys() - here.keys(), key=lambda name: (-everywhere[name], name))
    if elsewhere:
        return elsewhere[0]
    return min(here, key=lambda name: (here[name], name)) if len(here) > 1 else None


def _questions(records: Sequence[Record]) -> Iterator[EvaluationQuery]:
    beginnings = [_beginning(record["answer"]) for record in records]
    for number, record in enumerate(records):
        chosen = sorted({(number + step) % len(records) for step in (0, *_OTHERS)})
        text = "\n".join(beginnings[one] for one in chosen)
        start = len("\n".join(beginnings[one] for one in chosen if one < number))
        own = (start, start + len(beginnings[number]) + 1)
        yield from _asked(str(record.get("id", number)), text, record["question"], [own])


def _beginning(answer: str) -> str:
    first = sentences(answer)[:_ANSWER_SENTENCES]
    return answer[: first[-1].end] if first else answer


def _asked(name: str, text: str, query: str, hits: Iterable[tuple[int, int]]) -> Iterator[EvaluationQuery]:
    """A sentence is relevant where a hit begins in it, or where it lies inside a hit."""
    listed, spans = list(hits), tuple(sentences(text))
    relevant = tuple(
        any(one.start <= start < one.end or (start <= one.start and one.end <= end) for start, end in listed)
        for one in spans
    )
    if any(relevant):
        yield EvaluationQuery(name, text, query, spans, relevant)
