"""The search task: the sentences of a note that answer a query, decided at each sentence's end.

Score fusion combines the decision with lexical similarity, sentence embeddings, the section, and for a query
with an intent the tagged mentions and sentence kinds.
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
from worker.search.query_intents import evidence, intent_labels, intent_wordings
from worker.weights.ranking_model import RankingWeights, SentenceFeatures
from worker.weights.task_config import TaskConfig

_NAMED_SHARE = 0.25
"""Share of a query's words above which it uses the note's own words: "What happened?" never does."""


@dataclass(frozen=True, slots=True)
class SentenceSignals:
    """What is known of a note's sentences besides the decisions, by each sentence's start."""

    similarities: Mapping[int, float] = field(default_factory=dict)
    """To the query in meaning, -1 to 1."""
    intent_scores: Mapping[int, float] | None = None
    """How probably it tells of the aspect that is asked for; none where none is."""


def search_note(note: Note, query: str, config: TaskConfig) -> TaskCoroutine:
    """The answering sentences, most probable first; empty where none answers."""
    decided, known = yield from sentence_signals(note, query, config)
    scored = fused_scores(note, query, decided, config, known)
    chosen = [(span, score) for span, score in scored if score >= config.ranking_model.threshold]
    chosen.sort(key=lambda one: (-one[1], one[0].start))
    passages = tuple(
        Passage(start=span.start, end=span.end, text=note.text[span.start : span.end], score=score)
        for span, score in chosen
    )
    return TaskAnswer(SearchAnswer(passages=passages), note.window_ranges)


def sentence_signals(
    note: Note, query: str, config: TaskConfig
) -> Generator[Sequence[Request], list[Reply], tuple[list[tuple[Span, float]], SentenceSignals]]:
    """Asks; each sentence with its decision's probability, and what else is known of it."""
    decides = search_requests(note, query, config)
    if not config.ranking_model.compares_texts:
        replies = yield decides
        return decision_scores(note, replies), SentenceSignals()
    texts = tuple(note.text[one.start : one.end] for one in note.sentences)
    *replies, near, asked = yield [
        *decides,
        CompareRequest(query, texts),
        CompareRequest(query, intent_wordings()),
    ]
    assert isinstance(near, CompareResult)
    assert isinstance(asked, CompareResult)
    similarities = {one.start: value for one, value in zip(note.sentences, near.similarities, strict=True)}
    wanted = intent_labels(query, asked.similarities, config.ranking_model.least_nearness)
    if not wanted or not config.tagged_labels or config.ranking_model.aspect is None:
        return decision_scores(note, replies), SentenceSignals(similarities)
    # Entities and summary ask the same of a note: where they are asked too, this has been answered.
    read = yield tagging_requests(note, config)
    told = evidence(note, wanted, tagged_mentions(note, read, config), sentence_kinds(note, read))
    return decision_scores(note, replies), SentenceSignals(similarities, told)


def fused_scores(
    note: Note,
    query: str,
    decided: Sequence[tuple[Span, float]],
    config: TaskConfig,
    known: SentenceSignals | None = None,
) -> list[tuple[Span, float]]:
    """Each sentence with its fused probability of answering."""
    known = known or SentenceSignals()
    join = config.ranking_model
    weights = join.thing if known.intent_scores is None or join.aspect is None else join.aspect
    return [
        (span, _probability(sentence_features, weights))
        for span, sentence_features in sentence_features(note, query, decided, known)
    ]


def sentence_features(
    note: Note, query: str, decided: Sequence[tuple[Span, float]], known: SentenceSignals
) -> list[tuple[Span, SentenceFeatures]]:
    """What a join weighs, sentence by sentence."""
    stems, explained = note.cached(_stems), note.cached(_explained)
    found = [stems(span.start, span.end) for span, _ in decided]
    shares = lexical_similarities(query, found, note.text, explained)
    is_wordless = max(shares, default=0.0) < _NAMED_SHARE
    named, told = section_kinds_in_query(query), known.intent_scores or {}
    is_there = any(section.kind in named for section in note.sections)
    return [
        (
            span,
            SentenceFeatures(
                bias=1.0,
                wordless=float(is_wordless),
                decision=_log_odds(score),
                words=share,
                meaning=known.similarities.get(span.start, 0.0),
                section=float(is_in),
                elsewhere=float(is_there and not is_in),
                evidence=told.get(span.start, 0.0),
            ),
        )
        for (span, score), share in zip(decided, shares, strict=True)
        for is_in in (note.section_at(span.start).kind in named,)
    ]


def _stems(note: Note) -> Callable[[int, int], list[str]]:
    """The stems of the sentence from start to end, computed once for all queries."""
    return cache(lambda start, end: content_stems(note.text[start:end]))


def _explained(note: Note) -> dict[str, str]:
    return abbreviation_expansions(note.text)


def search_requests(note: Note, query: str, config: TaskConfig) -> list[ScoreRequest]:
    """One request for each window: after each of its sentences, does it answer?"""
    return [
        ScoreRequest(
            prompt=prompt("search", text, query=query, uses_adapter=Task.SEARCH in config.adapted_tasks),
            copy=text,
            choices=(Choice(SEARCH_WORDS, sentence_ends(window)),),
        )
        for window in note.windows
        for text in (note.text[window.start : window.end],)
    ]


def decision_scores(note: Note, replies: Sequence[Reply]) -> list[tuple[Span, float]]:
    """Each sentence of the note, in order, with its probability of answering."""
    rows = sentence_probabilities(note, replies)
    return [(sentence, min(1.0, float(row[0]))) for sentence, row in rows]


def _probability(found: SentenceFeatures, weights: RankingWeights) -> float:
    log_odds = sum(weight * clue for weight, clue in zip(weights, found, strict=True))
    return 1 / (1 + math.exp(-log_odds))


def _log_odds(probability: float) -> float:
    certain = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(certain / (1 - certain))
