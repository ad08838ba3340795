"""Search queries of a data set: a text, a query, and the relevant sentences.

Reads three formats. Records with `queries`. Annotated concepts: the query is a name of the concept that the
note does not use, at least not for every mention. Questions with answers: the text is the answer among the
answers of two other questions.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.answers import Span
from training.evaluation.records.evaluation_data import DataError, Record, require_fields
from worker.note.sentence_splitter import sentences

_ANSWER_SENTENCES = 4
_OTHERS = (7, 31)
"""Distances in rows of the two other answers in a question's text; any fixed numbers do."""


@dataclass(frozen=True, slots=True)
class EvaluationQuery:
    """One query on one text."""

    id: str
    text: str
    query: str
    sentences: tuple[Span, ...]
    relevant: tuple[bool, ...]
    """For each sentence whether it answers the query; none does where the note has no answer."""


def evaluation_queries(records: Sequence[Record], path: Path) -> list[EvaluationQuery]:
    """The queries of records. Raises DataError where there are none."""
    require_fields(records, path, "text queries", "text entities", "question answer")
    if "queries" in records[0]:
        queries = [query for record in records for query in _annotated_queries(record)]
    elif "question" in records[0]:
        queries = list(_questions(records))
    else:
        queries = list(_concepts(records))
    if not queries:
        raise DataError(f"{path}: no concept is named in two ways, so there is nothing to search for.")
    return queries


def _annotated_queries(record: Record) -> Iterator[EvaluationQuery]:
    """`queries`: [{"query": str, "relevant": [[start, end], ...]}, ...]"""
    for number, query in enumerate(record["queries"]):
        name = f"{record.get('id', '')}/{number}"
        hits = [(start, end) for start, end in query["relevant"]]
        yield _query_with_hits(name, record["text"], query["query"], hits)


def _concepts(records: Sequence[Record]) -> Iterator[EvaluationQuery]:
    """Yields one query for each concept of a note that has another name than the query.

    The query is a name that only other notes use, else the note's rarest name.
    """
    names: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        for entity in record["entities"]:
            if entity.get("concept"):
                names[entity["concept"]][entity["text"].lower()] += 1
    for record in records:
        mentions: dict[str, list[Record]] = defaultdict(list)
        for entity in record["entities"]:
            if entity.get("concept"):
                mentions[entity["concept"]].append(entity)
        for concept, mentions_of_concept in mentions.items():
            query = _other_name(
                names[concept], Counter(entity["text"].lower() for entity in mentions_of_concept)
            )
            if query is not None:
                hits = [(entity["start"], entity["end"]) for entity in mentions_of_concept]
                yield _query_with_hits(f"{record.get('id', '')}/{concept}", record["text"], query, hits)


def _other_name(counts_in_data: Mapping[str, int], counts_in_note: Mapping[str, int]) -> str | None:
    """The most frequent name that the note does not use, else its rarest of several names, else None."""
    names_elsewhere = sorted(
        counts_in_data.keys() - counts_in_note.keys(), key=lambda name: (-counts_in_data[name], name)
    )
    if names_elsewhere:
        return names_elsewhere[0]
    return (
        min(counts_in_note, key=lambda name: (counts_in_note[name], name))
        if len(counts_in_note) > 1
        else None
    )


def _questions(records: Sequence[Record]) -> Iterator[EvaluationQuery]:
    answers = [_first_sentences(record["answer"]) for record in records]
    for number, record in enumerate(records):
        row_numbers = sorted({(number + step) % len(records) for step in (0, *_OTHERS)})
        text = "\n".join(answers[row_number] for row_number in row_numbers)
        start = len("\n".join(answers[row_number] for row_number in row_numbers if row_number < number))
        own = (start, start + len(answers[number]) + 1)
        yield _query_with_hits(str(record.get("id", number)), text, record["question"], [own])


def _first_sentences(answer: str) -> str:
    first = sentences(answer)[:_ANSWER_SENTENCES]
    return answer[: first[-1].end] if first else answer


def _query_with_hits(name: str, text: str, query: str, hits: Iterable[tuple[int, int]]) -> EvaluationQuery:
    """The query. A sentence is relevant if a hit begins in it, or if it lies inside a hit."""
    hit_spans, spans = list(hits), tuple(sentences(text))
    relevant = tuple(
        any(
            sentence.start <= start < sentence.end or (start <= sentence.start and sentence.end <= end)
            for start, end in hit_spans
        )
        for sentence in spans
    )
    return EvaluationQuery(name, text, query, spans, relevant)
