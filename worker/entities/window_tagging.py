"""One reading of a window for all that is decided of it without a query: its entities, and what each
of its sentences tells of. Entities and the chosen summary ask the same, so it is read once for both.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.answers import Assertion, Span, Task
from worker.engine.api import Choice, Reply, ScoreRequest, ScoreResult
from worker.engine.prompting.label_words import (
    ASSERTION_WORDS,
    SENTENCE_KINDS,
    TaggedLabel,
    tag_words,
    tagged_labels,
)
from worker.engine.prompting.prompt_templates import prompt
from worker.entities.bio_decoding import decode_mentions
from worker.entities.drug_names import drug_name_spans
from worker.entities.false_positive_filter import corrected_label, name_span
from worker.note.parsed_note import Note
from worker.note.windows import NoteWindow
from worker.weights.negation_model import NEGATABLE_LABELS
from worker.weights.task_config import TaskConfig

_LOG_PROBABILITIES = (-14.0, -1e-6)
"""Between them odds are numbers."""


@dataclass(frozen=True, slots=True)
class Mention:
    """Characters [start, end) of the note under one label."""

    start: int
    end: int
    label: str
    probability: float | None
    """None where it was not marked but known: a list's item, a medication by its name."""
    negation_log_odds: float | None = None
    """Log odds that it is, as the network has it; none where it was not asked."""


def tagging_requests(note: Note, config: TaskConfig) -> list[ScoreRequest]:
    """One a window."""
    labels = tagged_labels(config.tagged_labels)
    uses_adapter = Task.ENTITIES in config.adapted_tasks
    return [
        tagging_request(
            note.text[window.start : window.end], sentence_ends(window), labels, uses_adapter=uses_adapter
        )
        for window in note.windows
    ]


def tagging_request(
    text: str, ends: tuple[int, ...], labels: Sequence[TaggedLabel], *, uses_adapter: bool = False
) -> ScoreRequest:
    """After each token what begins, goes on, or nothing, and whether what ends there is so; after each
    sentence, whose `ends` are given, its kind. What is trained to read asks just so."""
    parameters: dict[str, Any] = {"labels": labels, "kinds": SENTENCE_KINDS, "assertions": ASSERTION_WORDS}
    return ScoreRequest(
        prompt=prompt("entities_marks", text, uses_adapter=uses_adapter, **parameters),
        copy=text,
        choices=(Choice(tag_words(labels)), Choice(SENTENCE_KINDS, ends), Choice(tuple(ASSERTION_WORDS))),
        is_question_cached=True,
    )


def tagged_mentions(note: Note, replies: Sequence[Reply], config: TaskConfig) -> list[Mention]:
    """The marks of the whole note, with what the network says of each."""
    return note.cached(_mentions, config, *replies)


def _mentions(note: Note, config: TaskConfig, *replies: Reply) -> list[Mention]:
    labels = tagged_labels(config.tagged_labels)
    spans, scores = _tokens_read(note, replies, choice=0)
    if not spans:
        return []
    denied = negation_log_odds(note, replies) if config.negation_model is not None else None
    mentions = []
    for mark in decode_mentions(note.text, spans, scores, labels, config.lexicon):
        start, end = name_span(note, mark.start, mark.end, mark.label)
        label = corrected_label(note, start, end, mark.label)
        if label is not None and label in config.tagged_labels:
            said = denied.at(end) if denied is not None and label in NEGATABLE_LABELS else None
            mentions.append(Mention(start, end, label, mark.probability, said))
    return [*mentions, *_known_medications(note, mentions, config)]


def _known_medications(note: Note, mentions: Sequence[Mention], config: TaskConfig) -> Iterator[Mention]:
    """Names of medications where nothing was marked. Of 19 in 249 notes of MTSamples all were given or taken,
    or somebody was allergic to them."""
    if "medication" in config.tagged_labels:
        taken = [(one.start, one.end) for one in mentions]
        for start, end in drug_name_spans(note.text):
            is_free = all(end <= first or last <= start for first, last in taken)
            if is_free and corrected_label(note, start, end, "medication") == "medication":
                yield Mention(start, end, "medication", None)


@dataclass(frozen=True, slots=True)
class NegationLogOdds:
    """How far the network takes for denied what ends where."""

    ends: tuple[int, ...]
    """Of the note's tokens, in characters."""
    log_odds: npt.NDArray[np.float32]
    """[tokens]."""

    def at(self, end: int) -> float:
        """For a mention that ends there."""
        return float(self.log_odds[min(bisect_left(self.ends, end), len(self.ends) - 1)])


def negation_log_odds(note: Note, replies: Sequence[Reply]) -> NegationLogOdds:
    """Of a note with one token at least."""
    spans, scores = _tokens_read(note, replies, choice=2)
    said = scores[:, list(ASSERTION_WORDS.values()).index(Assertion.NEGATED)].clip(*_LOG_PROBABILITIES)
    return NegationLogOdds(tuple(end for _, end in spans), said - np.log1p(-np.exp(said)))


def _tokens_read(
    note: Note, replies: Sequence[Reply], choice: int
) -> tuple[list[tuple[int, int]], npt.NDArray[np.float32]]:
    """A choice's decisions after each token of the note, taken from the window whose own part it is in."""
    spans: list[tuple[int, int]] = []
    rows: list[npt.NDArray[np.float32]] = []
    for window, reply in zip(note.windows, replies, strict=True):
        assert isinstance(reply, ScoreResult)
        found = reply.scores[choice]
        placed = [(start + window.start, end + window.start) for start, end in found.spans]
        own = [place for place, (_, end) in enumerate(placed) if end > window.core_start]
        spans += [placed[place] for place in own]
        rows.append(found.log_probabilities[own])
    return spans, np.concatenate(rows) if rows else np.zeros((0, 0), dtype=np.float32)


def sentence_kinds(note: Note, replies: Sequence[Reply]) -> list[tuple[Span, dict[str, float]]]:
    """Each sentence of the note in order, with the probability of each kind."""
    return [
        (sentence, dict(zip(SENTENCE_KINDS, map(float, row), strict=True)))
        for sentence, row in sentence_probabilities(note, replies, choice=1)
    ]


def sentence_ends(window: NoteWindow) -> tuple[int, ...]:
    """Of the window's sentences, in characters of the window."""
    return tuple(sentence.end - window.start for sentence in window.sentences)


def sentence_probabilities(
    note: Note, replies: Sequence[Reply], *, choice: int = 0
) -> list[tuple[Span, npt.NDArray[np.float32]]]:
    """Each sentence of the note once, in order, with the probabilities of the choice's words at its end; none
    of the index terms behind it."""
    found: list[tuple[Span, npt.NDArray[np.float32]]] = []
    for window, reply in zip(note.windows, replies, strict=True):
        assert isinstance(reply, ScoreResult)
        rows = np.exp(reply.scores[choice].log_probabilities)
        found += [
            (sentence, row)
            for sentence, row in zip(window.sentences, rows, strict=True)
            if sentence.start >= window.core_start and not note.is_boilerplate(sentence.start)
        ]
    return found
