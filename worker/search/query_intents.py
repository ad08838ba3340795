"""What a query asks for as a whole, "Which medications?", and which sentences of a note tell of that.

Which aspects a query names is compared by meaning with the ways to ask in aspects.toml; a query with a word
of its own, "a family history of cancer", names a thing instead. What tells of an aspect was decided in the
reading that entities and summary share: labels marked in a sentence, and its kind.
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
"""Aspects that are so much less near than the nearest are not meant."""


def ways_to_ask() -> tuple[str, ...]:
    """Of all aspects, in one order."""
    return tuple(way for task_config in _table().values() for way in task_config["asked"])


def evidence_asked(query: str, similarities: Sequence[float], least: float) -> frozenset[str]:
    """Labels and kinds of sentences that tell of what a query asks for; none where it names no aspect.

    `similarities`: of the query to each of `ways_to_ask`; `least`: from where on an aspect is named.
    """
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
    """By each sentence's start how probably it tells of what is asked for, 0 to 1."""
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
    """Of all ways to ask."""
    return frozenset(stem for way in ways_to_ask() for stem in content_stems(way))


@cache
def _table() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads(Path(__file__).with_name("query_intents.toml").read_text("utf-8"))
