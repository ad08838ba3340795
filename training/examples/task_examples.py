"""Task examples from annotated corpora, with the worker's own requests: decisions on a copy of the text.

A corpus annotates only some labels: an unannotated drug is not a negative. Where nothing is annotated, the
tags of the other labels count as right besides the tag of no mention. Offsets are characters of the window.
Does not import torch.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.answers import Assertion
from training.examples.gold_assertions import assertion_of, has_assertions
from worker.engine.api import Choice, ScoreRequest
from worker.engine.prompting.label_words import SEARCH_WORDS, TaggedLabel
from worker.engine.prompting.prompt_templates import prompt
from worker.entities.window_tagging import tagging_request
from worker.note.sentence_splitter import sentences
from worker.weights.negation_model import NEGATABLE_LABELS

LABELS_OF = {
    "maccrobat": {
        "Sign_symptom": "problem",
        "Disease_disorder": "problem",
        "Medication": "medication",
        "Diagnostic_procedure": "test",
        "Therapeutic_procedure": "procedure",
        "Biological_structure": "anatomy",
        "Dosage": "dosage",
        "Frequency": "frequency",
        "Administration": "route",
        "Lab_value": "value",
    },
    "bc5cdr": {"Disease": "problem", "Chemical": "medication"},
    "ncbi_disease": {"Disease": "problem"},
}
"""Our label by corpus and label of the corpus."""


@dataclass(frozen=True, slots=True)
class Example:
    """A request of the worker, and the right label words at its decisions, as far as they are annotated."""

    request: ScoreRequest
    spans: tuple[tuple[int, int, str], ...] | None = None
    """Start, end and label of each mention; None if mentions are not annotated."""
    unannotated_labels: frozenset[str] = frozenset()
    """Labels that the corpus does not annotate."""
    kinds: tuple[frozenset[str], ...] | None = None
    """The right kinds of each sentence; None if kinds are not annotated."""
    assertions: tuple[tuple[int, Assertion], ...] = ()
    """Ends of mentions, ascending, with their assertions, as far as they are annotated."""
    is_relevant: tuple[bool, ...] = ()
    """Search only: relevance of each sentence."""
    query: str = ""
    """Search only."""


def read_corpus(folder: Path, name: str, split: str) -> list[dict[str, Any]]:
    """The records of one split of a corpus in the data folder."""
    with (folder / name / f"{split}.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def windows_of(record: dict[str, Any], max_characters: int) -> Iterator[tuple[int, int]]:
    """Yields windows as the worker cuts them: runs of whole sentences of about `max_characters` at most."""
    start = end = None
    for first, last in ((sentence.start, sentence.end) for sentence in sentences(record["text"])):
        if start is None or end is None:
            start, end = first, last
        elif last - start > max_characters:
            yield start, end
            start, end = first, last
        else:
            end = last
    if start is not None and end is not None:
        yield start, end


def tagging_examples(
    corpus: str,
    records: Sequence[dict[str, Any]],
    labels: Sequence[TaggedLabel],
    max_characters: int,
    names: Mapping[str, str] | None = None,
) -> list[Example]:
    """One example for each window, with every annotated mention; of overlapping ones the longer.

    `names`: our label by label of the records, if `corpus` is none of the known ones.
    """
    names = LABELS_OF[corpus] if names is None else names
    unannotated_labels = frozenset(label.name for label in labels) - set(names.values())
    examples = []
    for record in records:
        mentions = [
            (e["start"], e["end"], names[e["label"]]) for e in record["entities"] if e["label"] in names
        ]
        assertion_of_span = _assertions_by_span(record["entities"], names)
        for start, end in windows_of(record, max_characters):
            inside = [(s - start, e - start, name) for s, e, name in mentions if start <= s and e <= end]
            text = record["text"][start:end]
            kept = tuple(_without_overlaps(inside))
            assertions = tuple(
                (e, assertion_of_span[s + start, e + start])
                for s, e, _ in kept
                if (s + start, e + start) in assertion_of_span
            )
            examples.append(
                Example(window_request(text, labels), kept, unannotated_labels, assertions=assertions)
            )
    return examples


def assertion_examples(records: Sequence[dict[str, Any]], labels: Sequence[TaggedLabel]) -> list[Example]:
    """One example for each annotated span of a sentence: its assertion, as in NegEx's data."""
    return [
        Example(window_request(record["text"], labels), assertions=((end, Assertion(assertion)),))
        for record in records
        for _, end, assertion in record["spans"]
    ]


def _assertions_by_span(
    entities: Sequence[dict[str, Any]], names: Mapping[str, str]
) -> dict[tuple[int, int], Assertion]:
    """Assertions by the start and end of a mention; empty if the record annotates none."""
    if not has_assertions(entities):
        return {}
    return {
        (entity["start"], entity["end"]): assertion_of(entity, entities)
        for entity in entities
        if names.get(entity["label"]) in NEGATABLE_LABELS
    }


def window_request(text: str, labels: Sequence[TaggedLabel]) -> ScoreRequest:
    """The worker's request on a window for entities and summary."""
    return tagging_request(text, tuple(sentence.end for sentence in sentences(text)), labels)


def search_examples(
    corpus: str, records: Sequence[dict[str, Any]], max_characters: int, rng: random.Random
) -> list[Example]:
    """Up to two examples for each window: a query for a mention in it under any of its names, and, for half
    of the windows, a query for a mention of another note."""
    examples = []
    names = _names_of_concepts(records)
    for record in records:
        for start, end in windows_of(record, max_characters):
            inside = [e for e in record["entities"] if start <= e["start"] and e["end"] <= end]
            if inside:
                examples.append(
                    _search_example(record, start, end, *_query_of_window(inside, names, corpus, rng))
                )
            other = rng.choice(records)["entities"]
            if other and rng.random() < 0.5:
                query = rng.choice(other)["text"]
                examples.append(_search_example(record, start, end, _phrased(query, rng), _same_text(query)))
    return examples


_KIND_QUERIES = {
    "Medication": ("Which medications does the patient take?", "medications", "What drugs were given?"),
    "Sign_symptom": ("What symptoms does the patient have?", "symptoms and signs", "complaints"),
    "Disease_disorder": ("What diagnoses were made?", "diagnosis", "Which diseases are mentioned?"),
    "Diagnostic_procedure": ("Which tests were done?", "tests and imaging", "examinations"),
    "Lab_value": ("What were the test results?", "laboratory values", "measurements with their values"),
    "Therapeutic_procedure": ("What operations or treatments were done?", "procedures", "treatment"),
    "History": ("What is the patient's medical history?", "past history"),
    "Family_history": ("Is there a family history?", "diseases in the family"),
    "Dosage": ("What doses were given?", "dosage"),
    "Chemical": ("Which drugs are mentioned?", "medications", "What drug was given?"),
    "Disease": ("Which diseases are mentioned?", "diseases and symptoms", "What condition is described?"),
}
"""Queries by label of a corpus; every mention of the label is a hit."""
_WHOLLY_ANNOTATED = frozenset({"maccrobat", "bc5cdr"})
"""Corpora that annotate every mention of their labels, so that other sentences are no hit."""
_WORDINGS = (
    "{}",
    "{}",
    "Does the patient have {}?",
    "Is there {}?",
    "Was {} found?",
    "anything about {}",
    "mentions of {}",
    "What is said about {}?",
)


def _query_of_window(
    inside: list[dict[str, Any]], names: dict[str, list[str]], corpus: str, rng: random.Random
) -> tuple[str, Any]:
    mention = rng.choice(inside)
    kind = mention["label"]
    if corpus in _WHOLLY_ANNOTATED and kind in _KIND_QUERIES and rng.random() < 0.5:
        return rng.choice(_KIND_QUERIES[kind]), lambda entity: entity["label"] == kind
    concept = mention.get("concept")
    if concept:
        return _phrased(rng.choice(names[concept]), rng), lambda entity: entity.get("concept") == concept
    return _phrased(mention["text"], rng), _same_text(mention["text"])


def _names_of_concepts(records: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """The names of each concept in the corpus, each once, so that rare and common ones are drawn equally."""
    names: dict[str, dict[str, str]] = {}
    for record in records:
        for mention in record["entities"]:
            if mention.get("concept"):
                names.setdefault(mention["concept"], {})[mention["text"].lower()] = mention["text"]
    return {concept: list(texts.values()) for concept, texts in names.items()}


def _search_example(record: dict[str, Any], start: int, end: int, query: str, is_hit: Any) -> Example:
    text = record["text"][start:end]
    sentence_spans = [(sentence.start, sentence.end) for sentence in sentences(text)]
    hits = [(e["start"] - start, e["end"] - start) for e in record["entities"] if is_hit(e)]
    relevant = tuple(any(first <= s and e <= last for s, e in hits) for first, last in sentence_spans)
    choice = Choice(SEARCH_WORDS, tuple(last for _, last in sentence_spans))
    request = ScoreRequest(prompt("search", text, query=query), text, (choice,))
    return Example(request, is_relevant=relevant, query=query)


def _phrased(name: str, rng: random.Random) -> str:
    return rng.choice(_WORDINGS).format(name)


def _same_text(name: str) -> Any:
    return lambda mention: mention["text"].lower() == name.lower()


def _without_overlaps(mentions: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    kept: list[tuple[int, int, str]] = []
    for mention in sorted(mentions, key=lambda mention: mention[0] - mention[1]):
        if all(mention[1] <= other[0] or other[1] <= mention[0] for other in kept):
            kept.append(mention)
    return sorted(kept)
