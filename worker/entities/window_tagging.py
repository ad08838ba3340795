"""Window tagging: one request per window for its mentions, their negation, and the kinds of its sentences.

The entity task, the extractive summary and queries for an intent send the same requests, which the pipeline
answers once. Does not import an engine.
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

_LOG_PROBABILITY_RANGE = (-14.0, -1e-6)
"""Log-probabilities are clipped to this range so that their odds are finite."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A mention: characters [start, end) of the note with one label."""

    start: int
    end: int
    label: str
    probability: float | None
    """None if it was not tagged: an item of a generated list, or a drug recognised by its name."""
    negation_log_odds: float | None = None
    """The network's log-odds that it is negated; None if the network was not asked."""


def tagging_requests(note: Note, config: TaskConfig) -> list[ScoreRequest]:
    """The tagging request of each window."""
    labels = tagged_labels(config.tagged_labels)
    uses_adapter = Task.ENTITIES in config.adapter_tasks
    return [
        tagging_request(
            note.text[window.start : window.end], sentence_ends(window), labels, uses_adapter=uses_adapter
        )
        for window in note.windows
    ]


def tagging_request(
    text: str, ends: tuple[int, ...], labels: Sequence[TaggedLabel], *, uses_adapter: bool = False
) -> ScoreRequest:
    """The tagging request for a text, as in training: BIO tag and assertion status after each token, and the
    sentence kind after each sentence. `ends`: the ends of the sentences, in characters of the text."""
    parameters: dict[str, Any] = {"labels": labels, "kinds": SENTENCE_KINDS, "assertions": ASSERTION_WORDS}
    return ScoreRequest(
        prompt=prompt("entities_marks", text, uses_adapter=uses_adapter, **parameters),
        copy=text,
        choices=(Choice(tag_words(labels)), Choice(SENTENCE_KINDS, ends), Choice(tuple(ASSERTION_WORDS))),
        is_question_cached=True,
    )


def tagged_mentions(note: Note, replies: Sequence[Reply], config: TaskConfig) -> list[Mention]:
    """The tagged mentions of the note after filtering, computed once for all tasks.

    `replies` are those to `tagging_requests`.
    """
    return note.cached(_computed_mentions, config, *replies)


def _computed_mentions(note: Note, config: TaskConfig, *replies: Reply) -> list[Mention]:
    labels = tagged_labels(config.tagged_labels)
    spans, scores = _token_scores(note, replies, choice=0)
    if not spans:
        return []
    negation = negation_log_odds(note, replies) if config.negation_model is not None else None
    mentions = []
    for tagged in decode_mentions(note.text, spans, scores, labels, config.lexicon):
        start, end = name_span(note, tagged.start, tagged.end, tagged.label)
        label = corrected_label(note, start, end, tagged.label)
        if label is not None and label in config.tagged_labels:
            log_odds = negation.at(end) if negation is not None and label in NEGATABLE_LABELS else None
            mentions.append(Mention(start, end, label, tagged.probability, log_odds))
    return [*mentions, *_untagged_medications(note, mentions, config)]


def _untagged_medications(note: Note, mentions: Sequence[Mention], config: TaskConfig) -> Iterator[Mention]:
    """Yields drug names that were not tagged; all 19 in 249 MTSamples notes were taken or allergies."""
    if "medication" in config.tagged_labels:
        taken = [(mention.start, mention.end) for mention in mentions]
        for start, end in drug_name_spans(note.text):
            is_free = all(end <= first or last <= start for first, last in taken)
            if is_free and corrected_label(note, start, end, "medication") == "medication":
                yield Mention(start, end, "medication", None)


@dataclass(frozen=True, slots=True)
class NegationLogOdds:
    """The network's log-odds that a mention is negated, by the position of its end."""

    ends: tuple[int, ...]
    """The ends of the tokens of the note, in characters."""
    log_odds: npt.NDArray[np.float32]
    """Shape [tokens]."""

    def at(self, end: int) -> float:
        """The log-odds for a mention that ends at this character."""
        return float(self.log_odds[min(bisect_left(self.ends, end), len(self.ends) - 1)])


def negation_log_odds(note: Note, replies: Sequence[Reply]) -> NegationLogOdds:
    """The negation log-odds of a note with at least one token, from the replies to `tagging_requests`."""
    spans, scores = _token_scores(note, replies, choice=2)
    log_odds = scores[:, list(ASSERTION_WORDS.values()).index(Assertion.NEGATED)].clip(
        *_LOG_PROBABILITY_RANGE
    )
    return NegationLogOdds(tuple(end for _, end in spans), log_odds - np.log1p(-np.exp(log_odds)))


def _token_scores(
    note: Note, replies: Sequence[Reply], choice: int
) -> tuple[list[tuple[int, int]], npt.NDArray[np.float32]]:
    """The scores of a choice after each token of the note, from the window whose core contains the token.

    Returns the token spans and an array of shape [tokens, words of the choice].
    """
    spans: list[tuple[int, int]] = []
    rows: list[npt.NDArray[np.float32]] = []
    for window, reply in zip(note.windows, replies, strict=True):
        assert isinstance(reply, ScoreResult)
        scored = reply.scores[choice]
        note_spans = [(start + window.start, end + window.start) for start, end in scored.spans]
        core_rows = [row for row, (_, end) in enumerate(note_spans) if end > window.core_start]
        spans += [note_spans[row] for row in core_rows]
        rows.append(scored.log_probabilities[core_rows])
    return spans, np.concatenate(rows) if rows else np.zeros((0, 0), dtype=np.float32)


def sentence_kinds(note: Note, replies: Sequence[Reply]) -> list[tuple[Span, dict[str, float]]]:
    """The sentences of the note in order, with the probability of each sentence kind."""
    return [
        (sentence, dict(zip(SENTENCE_KINDS, map(float, row), strict=True)))
        for sentence, row in sentence_probabilities(note, replies, choice=1)
    ]


def sentence_ends(window: NoteWindow) -> tuple[int, ...]:
    """The ends of the sentences of a window, in characters of the window."""
    return tuple(sentence.end - window.start for sentence in window.sentences)


def sentence_probabilities(
    note: Note, replies: Sequence[Reply], *, choice: int = 0
) -> list[tuple[Span, npt.NDArray[np.float32]]]:
    """The sentences of the note in order, with the probabilities of the words of a choice at their ends.

    Archive boilerplate after the note is left out.
    """
    scored: list[tuple[Span, npt.NDArray[np.float32]]] = []
    for window, reply in zip(note.windows, replies, strict=True):
        assert isinstance(reply, ScoreResult)
        rows = np.exp(reply.scores[choice].log_probabilities)
        scored += [
            (sentence, row)
            for sentence, row in zip(window.sentences, rows, strict=True)
            if sentence.start >= window.core_start and not note.is_boilerplate(sentence.start)
        ]
    return scored
