"""Search: the sentences of the note that answer a query, decided at each sentence's end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.answers import Passage, SearchAnswer, Span, Task
from worker.chunking import Window
from worker.conversation import Answered, Conversation
from worker.decisions import SEARCH_WORDS
from worker.engine import Decide, Decided, Reply
from worker.note import Note
from worker.prompts import prompt
from worker.recipes import Ways

THRESHOLD = 0.5
"""A sentence answers where that is more likely than not."""


def ask_search(note: Note, query: str, how: Ways) -> Conversation:
    """The set of answering sentences, most probable first; empty where none answers."""
    replies = yield search_requests(note, query, how)
    scored = sentence_scores(note.windows, replies)
    chosen = [(span, score) for span, score in scored if score >= THRESHOLD]
    chosen.sort(key=lambda one: (-one[1], one[0].start))
    passages = tuple(
        Passage(start=span.start, end=span.end, text=note.text[span.start : span.end], score=score)
        for span, score in chosen
    )
    return Answered(SearchAnswer(passages=passages), note.windows_read)


def search_requests(note: Note, query: str, how: Ways) -> list[Decide]:
    """One a window: after each of its sentences, does it answer?"""
    return [
        Decide(
            prompt=prompt("search", text, query=query, is_adapted=Task.SEARCH in how.adapted_tasks),
            copy=text,
            words=SEARCH_WORDS,
            ends=tuple(sentence.end - window.start for sentence in window.sentences),
        )
        for window in note.windows
        for text in (note.text[window.start : window.end],)
    ]


def sentence_scores(windows: Sequence[Window], replies: Sequence[Reply]) -> list[tuple[Span, float]]:
    """Each sentence of the note once, in order, with the probability that it answers."""
    scored = []
    for window, reply in zip(windows, replies, strict=True):
        assert isinstance(reply, Decided)
        scores = np.exp(reply.log_probabilities[:, 0])
        scored += [
            (sentence, min(1.0, float(score)))
            for sentence, score in zip(window.sentences, scores, strict=True)
            if sentence.start >= window.core_start
        ]
    return scored
