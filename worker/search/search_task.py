"""The search task: the sentences of a note that answer a query, each with a probability.

Score fusion combines the label-word score at the end of each sentence with lexical similarity, sentence
embeddings and the section, and for a query with an intent also tagged mentions and sentence kinds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from models.answers import Passage, SearchAnswer, Span, Task
from worker.engine.api import Choice, CompareRequest, CompareResult, Reply, Request, ScoreRequest
from worker.engine.prompting.label_words import SEARCH_WORDS
from worker.engine.prompting.prompt_templates import prompt
from worker.engine.task_coroutine import TaskAnswer, TaskCoroutine
from worker.entities.window_tagging import (
    sentence_ends,
    sentence_kinds,
    sentence_probabilities,
    tagged_mentions,
    tagging_requests,
)
from worker.note.abbreviations import abbreviation_expansions
from worker.note.parsed_note import Note
from worker.note.section_headings import section_kinds_in_query
from worker.note.stemming import content_stems
from worker.search.lexical_similarity import lexical_similarities
from worker.search.query_intents import intent_labels, intent_scores, intent_wordings
from worker.weights.ranking_model import RankingWeights, SentenceFeatures
from worker.weights.task_config import TaskConfig

_NAMED_SHARE = 0.25
"""Minimum lexical similarity of one sentence; below it, the query shares no words with the note."""


@dataclass(frozen=True, slots=True)
class SentenceSignals:
    """Signals for the sentences of a note besides the label-word scores, by the start of the sentence."""

    similarities: Mapping[int, float] = field(default_factory=dict)
    """Cosine similarity of sentence embeddings to the query, -1 to 1."""
    intent_scores: Mapping[int, float] | None = None
    """Probability that it answers the intent of the query; None if the query has no intent."""


def search_note(note: Note, query: str, config: TaskConfig) -> TaskCoroutine:
    """The coroutine of the search task: the answering sentences, most probable first, or none."""
    decisions, signals = yield from sentence_signals(note, query, config)
    scored = fused_scores(note, query, decisions, config, signals)
    selected = [(span, score) for span, score in scored if score >= config.ranking_model.threshold]
    selected.sort(key=lambda sentence: (-sentence[1], sentence[0].start))
    passages = tuple(
        Passage(start=span.start, end=span.end, text=note.text[span.start : span.end], score=score)
        for span, score in selected
    )
    return TaskAnswer(SearchAnswer(passages=passages), note.window_ranges)


def sentence_signals(
    note: Note, query: str, config: TaskConfig
) -> Generator[Sequence[Request], list[Reply], tuple[list[tuple[Span, float]], SentenceSignals]]:
    """Yields the requests; returns each sentence with its label-word probability, and the other signals."""
    requests = search_requests(note, query, config)
    if not config.ranking_model.compares_texts:
        replies = yield requests
        return decision_scores(note, replies), SentenceSignals()
    texts = tuple(note.text[sentence.start : sentence.end] for sentence in note.sentences)
    *replies, compared, compared_intents = yield [
        *requests,
        CompareRequest(query, texts),
        CompareRequest(query, intent_wordings()),
    ]
    assert isinstance(compared, CompareResult)
    assert isinstance(compared_intents, CompareResult)
    similarities = {
        sentence.start: value for sentence, value in zip(note.sentences, compared.similarities, strict=True)
    }
    labels = intent_labels(query, compared_intents.similarities, config.ranking_model.min_similarity)
    if not labels or not config.tagged_labels or config.ranking_model.intent_weights is None:
        return decision_scores(note, replies), SentenceSignals(similarities)
    # The entity task and the extractive summary send the same requests, which the pipeline answers once.
    tagging_replies = yield tagging_requests(note, config)
    scores_of_intent = intent_scores(
        note, labels, tagged_mentions(note, tagging_replies, config), sentence_kinds(note, tagging_replies)
    )
    return decision_scores(note, replies), SentenceSignals(similarities, scores_of_intent)


def fused_scores(
    note: Note,
    query: str,
    decisions: Sequence[tuple[Span, float]],
    config: TaskConfig,
    signals: SentenceSignals | None = None,
) -> list[tuple[Span, float]]:
    """The sentences, each with the fused probability that it answers the query.

    `decisions`: each sentence with its label-word probability.
    """
    signals = signals or SentenceSignals()
    model = config.ranking_model
    weights = (
        model.topic_weights
        if signals.intent_scores is None or model.intent_weights is None
        else model.intent_weights
    )
    return [
        (span, _probability(features, weights))
        for span, features in sentence_features(note, query, decisions, signals)
    ]


def sentence_features(
    note: Note, query: str, decisions: Sequence[tuple[Span, float]], signals: SentenceSignals
) -> list[tuple[Span, SentenceFeatures]]:
    """The features of each sentence for the ranking model."""
    stems, expansions = note.cached(_stems), note.cached(_expansions)
    sentence_stems = [stems(span.start, span.end) for span, _ in decisions]
    similarities = lexical_similarities(query, sentence_stems, note.text, expansions)
    is_wordless = max(similarities, default=0.0) < _NAMED_SHARE
    named_kinds, scores_of_intent = section_kinds_in_query(query), signals.intent_scores or {}
    has_section = any(section.kind in named_kinds for section in note.sections)
    return [
        (
            span,
            SentenceFeatures(
                bias=1.0,
                wordless=float(is_wordless),
                decision=_log_odds(score),
                words=similarity,
                embedding_similarity=signals.similarities.get(span.start, 0.0),
                section=float(is_in_section),
                elsewhere=float(has_section and not is_in_section),
                intent_score=scores_of_intent.get(span.start, 0.0),
            ),
        )
        for (span, score), similarity in zip(decisions, similarities, strict=True)
        for is_in_section in (note.section_at(span.start).kind in named_kinds,)
    ]


def _stems(note: Note) -> Callable[[int, int], list[str]]:
    """A function that returns the stems of text[start:end]; each is computed once for all queries."""
    return cache(lambda start, end: content_stems(note.text[start:end]))


def _expansions(note: Note) -> dict[str, str]:
    return abbreviation_expansions(note.text)


def search_requests(note: Note, query: str, config: TaskConfig) -> list[ScoreRequest]:
    """The request of each window: score at the end of each sentence whether it answers the query."""
    return [
        ScoreRequest(
            prompt=prompt("search", text, query=query, uses_adapter=Task.SEARCH in config.adapter_tasks),
            copy=text,
            choices=(Choice(SEARCH_WORDS, sentence_ends(window)),),
        )
        for window in note.windows
        for text in (note.text[window.start : window.end],)
    ]


def decision_scores(note: Note, replies: Sequence[Reply]) -> list[tuple[Span, float]]:
    """The sentences of the note in order, with the label-word probability that each answers the query."""
    rows = sentence_probabilities(note, replies)
    return [(sentence, min(1.0, float(row[0]))) for sentence, row in rows]


def _probability(features: SentenceFeatures, weights: RankingWeights) -> float:
    log_odds = sum(weight * feature for weight, feature in zip(weights, features, strict=True))
    return 1 / (1 + math.exp(-log_odds))


def _log_odds(probability: float) -> float:
    clipped = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(clipped / (1 - clipped))
