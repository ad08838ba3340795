"""Query intents: which aspect of a note a query asks for, "Which medications?", and which sentences answer
it.

A query is compared by sentence embeddings with the wordings in query_intents.toml; a query with a content
word of its own, "a family history of cancer", names a thing instead. The evidence comes from the tagging of
the note.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from models.answers import Span
from worker.entities.window_tagging import Mention
from worker.note.parsed_note import Note
from worker.note.stemming import content_stems

_NEAREST = 0.1
"""Intents whose similarity is lower than the best by more than this are not meant."""


def intent_wordings() -> tuple[str, ...]:
    """The wordings of all intents, in a fixed order."""
    return tuple(way for task_config in _table().values() for way in task_config["asked"])


def intent_labels(query: str, similarities: Sequence[float], least: float) -> frozenset[str]:
    """Labels and sentence kinds that answer a query; empty without an intent. `similarities`: of the query to
    each of `intent_wordings`; `least`: the smallest similarity of an intent."""
    if not _words().issuperset(content_stems(query)):
        return frozenset()
    near: dict[str, float] = {}
    places = iter(similarities)
    for aspect, task_config in _table().items():
        near[aspect] = max(next(places) for _ in task_config["asked"])
    nearest = max(near.values())
    named = [one for one, value in near.items() if value >= max(least, nearest - _NEAREST)]
    return frozenset(told for one in named for told in _table()[one]["evidence"])


def evidence(
    note: Note,
    asked: frozenset[str],
    mentions: Iterable[Mention],
    kinds: Iterable[tuple[Span, Mapping[str, float]]],
) -> dict[int, float]:
    """By each sentence's start the probability that it answers the intent, 0 to 1."""
    found: dict[int, float] = defaultdict(float)
    for mention in mentions:
        if mention.label in asked:
            start = note.sentence_at(mention.start).start
            known = 1.0 if mention.probability is None else mention.probability
            found[start] = max(found[start], known)
    for sentence, of in kinds:
        told = [probability for kind, probability in of.items() if kind in asked]
        found[sentence.start] = max([found[sentence.start], *told])
    return dict(found)


@cache
def _words() -> frozenset[str]:
    """The words of all wordings."""
    return frozenset(stem for way in intent_wordings() for stem in content_stems(way))


@cache
def _table() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads(Path(__file__).with_name("query_intents.toml").read_text("utf-8"))
