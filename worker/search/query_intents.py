"""Query intents: the aspect of a note that a query asks for ("Which medications?"), and its sentences.

Sentence embeddings compare a query with the wordings in query_intents.toml. A query with a content word that
occurs in no wording ("family history of cancer") names a thing and has no intent. Does not import an engine.
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

_SIMILARITY_MARGIN = 0.1
"""Intents count only if their similarity is within this margin of the best one."""


def intent_wordings() -> tuple[str, ...]:
    """The wordings of all intents, in a fixed order."""
    return tuple(wording for intent in _intents().values() for wording in intent["asked"])


def intent_labels(query: str, similarities: Sequence[float], min_similarity: float) -> frozenset[str]:
    """The entity labels and sentence kinds that answer a query; empty if the query has no intent.

    `similarities`: of the query to each of `intent_wordings`; `min_similarity`: of an intent that counts.
    """
    if not _intent_stems().issuperset(content_stems(query)):
        return frozenset()
    best_similarities: dict[str, float] = {}
    remaining = iter(similarities)
    for name, intent in _intents().items():
        best_similarities[name] = max(next(remaining) for _ in intent["asked"])
    highest = max(best_similarities.values())
    intents = [
        name
        for name, value in best_similarities.items()
        if value >= max(min_similarity, highest - _SIMILARITY_MARGIN)
    ]
    return frozenset(label for name in intents for label in _intents()[name]["evidence"])


def intent_scores(
    note: Note,
    labels: frozenset[str],
    mentions: Iterable[Mention],
    kinds: Iterable[tuple[Span, Mapping[str, float]]],
) -> dict[int, float]:
    """The probability, 0 to 1, that a sentence answers the intent, by the start of the sentence.

    `labels`: those of `intent_labels`; `kinds`: sentences with the probability of each sentence kind.
    """
    scores: dict[int, float] = defaultdict(float)
    for mention in mentions:
        if mention.label in labels:
            start = note.sentence_at(mention.start).start
            probability = 1.0 if mention.probability is None else mention.probability
            scores[start] = max(scores[start], probability)
    for sentence, probabilities in kinds:
        kind_probabilities = [probability for kind, probability in probabilities.items() if kind in labels]
        scores[sentence.start] = max([scores[sentence.start], *kind_probabilities])
    return dict(scores)


@cache
def _intent_stems() -> frozenset[str]:
    """The content stems of all wordings."""
    return frozenset(stem for wording in intent_wordings() for stem in content_stems(wording))


@cache
def _intents() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads(Path(__file__).with_name("query_intents.toml").read_text("utf-8"))
