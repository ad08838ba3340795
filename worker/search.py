"""Search: the sentences of the note that answer a query, decided at each sentence's end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from models.answers import Passage, SearchAnswer, Span, Task
from worker.conversation import Answered, Conversation
from worker.decisions import SEARCH_WORDS
from worker.engine import Choice, Compare, Compared, Decide, Reply
from worker.likeness import shares_of_words
from worker.note import Note
from worker.prompts import prompt
from worker.reading import sentence_ends, sentence_probabilities
from worker.recipes import SearchJoin, Ways
from worker.sections import kinds_named

_NAMED_SHARE = 0.25
"""A query is in the note's own words where some sentence has this part of it: "What happened?" never is."""


def ask_search(note: Note, query: str, how: Ways) -> Conversation:
    """The set of answering sentences, most probable first; empty where none answers."""
    decides, compare = search_requests(note, query, how), _compare(note, query)
    replies = yield [*decides, compare] if how.search_join.meaning else decides
    decided = sentence_scores(note, replies[: len(decides)])
    scored = joined_scores(note, query, decided, how.search_join, _nearness(note, replies[len(decides) :]))
    chosen = [(span, score) for span, score in scored if score >= how.search_join.threshold]
    chosen.sort(key=lambda one: (-one[1], one[0].start))
    passages = tuple(
        Passage(start=span.start, end=span.end, text=note.text[span.start : span.end], score=score)
        for span, score in chosen
    )
    return Answered(SearchAnswer(passages=passages), note.windows_read)


def joined_scores(
    note: Note,
    query: str,
    scored: Sequence[tuple[Span, float]],
    join: SearchJoin,
    nearness: Mapping[int, float] | None = None,
) -> list[tuple[Span, float]]:
    """The probabilities of decisions, joined with the words that query and sentence share, with the section
    it stands in, and with how near they are in meaning, by the sentence's start."""
    sentences = [note.text[span.start : span.end] for span, _ in scored]
    shares = shares_of_words(query, sentences, note.text)
    named, near = kinds_named(query), nearness or {}
    joined = []
    bias = join.bias if max(shares, default=0.0) >= _NAMED_SHARE else join.wordless_bias
    for (span, score), share in zip(scored, shares, strict=True):
        certain = min(max(score, 1e-6), 1 - 1e-6)
        log_odds = bias + join.decision * math.log(certain / (1 - certain)) + join.words * share
        log_odds += join.section * (note.section_at(span.start).kind in named)
        log_odds += join.meaning * near.get(span.start, 0.0)
        joined.append((span, 1 / (1 + math.exp(-log_odds))))
    return joined


def search_requests(note: Note, query: str, how: Ways) -> list[Decide]:
    """One a window: after each of its sentences, does it answer?"""
    return [
        Decide(
            prompt=prompt("search", text, query=query, is_adapted=Task.SEARCH in how.adapted_tasks),
            copy=text,
            choices=(Choice(SEARCH_WORDS, sentence_ends(window)),),
        )
        for window in note.windows
        for text in (note.text[window.start : window.end],)
    ]


def _compare(note: Note, query: str) -> Compare:
    return Compare(query, tuple(note.text[one.start : one.end] for one in note.sentences))


def _nearness(note: Note, replies: Sequence[Reply]) -> dict[int, float]:
    """By each sentence's start; nothing where nothing was compared."""
    [compared] = replies or [Compared(())]
    assert isinstance(compared, Compared)
    return {one.start: near for one, near in zip(note.sentences, compared.nearness, strict=False)}


def sentence_scores(note: Note, replies: Sequence[Reply]) -> list[tuple[Span, float]]:
    """Each sentence of the note, in order, with the probability that it answers."""
    rows = sentence_probabilities(note.windows, replies)
    return [(sentence, min(1.0, float(row[0]))) for sentence, row in rows]
