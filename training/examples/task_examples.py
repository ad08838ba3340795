"""Task examples from annotated corpora, in the very form that serves: decisions on a second copy.

A corpus that annotates only some labels says nothing of the others: an unannotated drug is not
a negative. Such a label's words count together with 'nothing' wherever nothing was annotated.
Offsets are characters of the window's text. No torch.
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
"""By corpus, what its labels are called here."""


@dataclass(frozen=True, slots=True)
class Example:
    """A request as the worker makes it, and the right words at its decisions, as far as they are known."""

    request: ScoreRequest
    spans: tuple[tuple[int, int, str], ...] | None = None
    """Start, end and label of what is to be marked; none where nobody marked it."""
    unknown: frozenset[str] = frozenset()
    """Labels that this corpus does not annotate."""
    kinds: tuple[frozenset[str], ...] | None = None
    """For each sentence what it may be said to tell of; none where nobody said it."""
    asserted: tuple[tuple[int, Assertion], ...] = ()
    """Where mentions end, ascending, and what is said of them there, as far as somebody said it."""
    is_relevant: tuple[bool, ...] = ()
    """Search only: for each asked sentence."""
    query: str = ""
    """Search only."""


def read_corpus(folder: Path, name: str, split: str) -> list[dict[str, Any]]:
    """The records of one split of one corpus, as the data folder holds them."""
    with (folder / name / f"{split}.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def windows_of(record: dict[str, Any], max_characters: int) -> Iterator[tuple[int, int]]:
    """Runs of whole sentences of at most about `max_characters`, as the worker's windows are."""
    start = end = None
    for first, last in ((one.start, one.end) for one in sentences(record["text"])):
        if start is None or end is None:
            start, end = first, last
        elif last - start > max_characters:
            yield start, end
            start, end = first, last
        else:
            end = last
    if start is not None and end is not None:
        yield start, end


def marks_examples(
    corpus: str,
    records: Sequence[dict[str, Any]],
    labels: Sequence[TaggedLabel],
    max_characters: int,
    names: Mapping[str, str] | None = None,
) -> list[Example]:
    """One example a window: every annotated mention is marked; of overlapping ones the longer.

    `names`: what the records' labels are called here, where `corpus` is none of the known ones.
    """
    names = LABELS_OF[corpus] if names is None else names
    unknown = frozenset(label.name for label in labels) - set(names.values())
    examples = []
    for record in records:
        mentions = [
            (e["start"], e["end"], names[e["label"]]) for e in record["entities"] if e["label"] in names
        ]
        said = _asserted(record["entities"], names)
        for start, end in windows_of(record, max_characters):
            inside = [(s - start, e - start, name) for s, e, name in mentions if start <= s and e <= end]
            text = record["text"][start:end]
            kept = tuple(_without_overlaps(inside))
            asserted = tuple(
                (e, said[s + start, e + start]) for s, e, _ in kept if (s + start, e + start) in said
            )
            examples.append(Example(reading(text, labels), kept, unknown, asserted=asserted))
    return examples


def assertion_examples(records: Sequence[dict[str, Any]], labels: Sequence[TaggedLabel]) -> list[Example]:
    """Sentences of which only one mention's assertion is known, as NegEx's."""
    return [
        Example(reading(record["text"], labels), asserted=((end, Assertion(said)),))
        for record in records
        for _, end, said in record["spans"]
    ]


def _asserted(
    entities: Sequence[dict[str, Any]], names: Mapping[str, str]
) -> dict[tuple[int, int], Assertion]:
    """By mention what is said of it; nothing where a record says it of none."""
    if not has_assertions(entities):
        return {}
    return {
        (one["start"], one["end"]): assertion_of(one, entities)
        for one in entities
        if names.get(one["label"]) in NEGATABLE_LABELS
    }


def reading(text: str, labels: Sequence[TaggedLabel]) -> ScoreRequest:
    """What the worker asks of a window for entities and summary."""
    return tagging_request(text, tuple(one.end for one in sentences(text)), labels)


def search_examples(
    corpus: str, records: Sequence[dict[str, Any]], max_characters: int, chance: random.Random
) -> list[Example]:
    """Two queries a window: a finding of the note under any of its names, and one of another note."""
    examples = []
    names = _names_of_concepts(records)
    for record in records:
        for start, end in windows_of(record, max_characters):
            inside = [e for e in record["entities"] if start <= e["start"] and e["end"] <= end]
            if inside:
                examples.append(_search(record, start, end, *_own_query(inside, names, corpus, chance)))
            other = chance.choice(records)["entities"]
            if other and chance.random() < 0.5:
                query = chance.choice(other)["text"]
                examples.append(_search(record, start, end, _worded(query, chance), _same_text(query)))
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
"""By a corpus's label, what asks for every mention of it."""
_WHOLLY_ANNOTATED = frozenset({"maccrobat", "bc5cdr"})
"""Corpora in which a sentence without such a mention has none."""
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


def _own_query(
    inside: list[dict[str, Any]], names: dict[str, list[str]], corpus: str, chance: random.Random
) -> tuple[str, Any]:
    mention = chance.choice(inside)
    kind = mention["label"]
    if corpus in _WHOLLY_ANNOTATED and kind in _KIND_QUERIES and chance.random() < 0.5:
        return chance.choice(_KIND_QUERIES[kind]), lambda one: one["label"] == kind
    concept = mention.get("concept")
    if concept:
        return _worded(chance.choice(names[concept]), chance), lambda one: one.get("concept") == concept
    return _worded(mention["text"], chance), _same_text(mention["text"])


def _names_of_concepts(records: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """Every name of a concept in the corpus once, so that rare ones are asked for as often as common ones."""
    names: dict[str, dict[str, str]] = {}
    for record in records:
        for mention in record["entities"]:
            if mention.get("concept"):
                names.setdefault(mention["concept"], {})[mention["text"].lower()] = mention["text"]
    return {concept: list(texts.values()) for concept, texts in names.items()}


def _search(record: dict[str, Any], start: int, end: int, query: str, is_hit: Any) -> Example:
    text = record["text"][start:end]
    asked = [(one.start, one.end) for one in sentences(text)]
    hits = [(e["start"] - start, e["end"] - start) for e in record["entities"] if is_hit(e)]
    relevant = tuple(any(first <= s and e <= last for s, e in hits) for first, last in asked)
    choice = Choice(SEARCH_WORDS, tuple(last for _, last in asked))
    request = ScoreRequest(prompt("search", text, query=query), text, (choice,))
    return Example(request, is_relevant=relevant, query=query)


def _worded(name: str, chance: random.Random) -> str:
    return chance.choice(_WORDINGS).format(name)


def _same_text(name: str) -> Any:
    return lambda mention: mention["text"].lower() == name.lower()


def _without_overlaps(mentions: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    kept: list[tuple[int, int, str]] = []
    for mention in sorted(mentions, key=lambda one: one[0] - one[1]):
        if all(mention[1] <= other[0] or other[1] <= mention[0] for other in kept):
            kept.append(mention)
    return sorted(kept)
