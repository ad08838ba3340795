"""Label words: their probabilities on a second copy of the text decide entities, sentences and their kinds.

Nothing is generated, so every span is a span of the text by construction. Published as sequence repetition
(arXiv 2601.17585).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.answers import Assertion

OUTSIDE_WORD = "-"
"""Label word of a token outside all entities."""
SEARCH_WORDS = ("yes", "no")
SENTENCE_KINDS = ("course", "findings", "assessment", "plan", "other")
"""Kinds of sentences: course of the illness, findings and measurements, assessment, plan; `other` is the
rest."""

ASSERTION_WORDS = {
    "yes": Assertion.PRESENT,
    "no": Assertion.NEGATED,
    "maybe": Assertion.POSSIBLE,
    "before": Assertion.HISTORICAL,
    "family": Assertion.FAMILY,
}
"""Label words for the assertion status of a mention, decided at its end."""


@dataclass(frozen=True, slots=True)
class TaggedLabel:
    """An entity label with its two label words for BIO tagging."""

    name: str
    start: str
    """A capital letter: an entity begins at the token."""
    inside: str
    """The same letter in lower case: the entity continues."""


def tagged_labels(names: Sequence[str]) -> tuple[TaggedLabel, ...]:
    """Assigns a letter to each label: the first unused letter of its name, else of the alphabet.

    Raises ValueError for more than 26 labels.
    """
    if len(names) > 26:
        raise ValueError(f"{len(names)} labels; tagging supports at most 26")
    used_letters: set[str] = set()
    tagged = []
    for name in names:
        letter = next(
            candidate
            for candidate in name + "abcdefghijklmnopqrstuvwxyz"
            if candidate.isalpha() and candidate not in used_letters
        )
        used_letters.add(letter)
        tagged.append(TaggedLabel(name, letter.upper(), letter))
    return tuple(tagged)


def tag_words(labels: Sequence[TaggedLabel]) -> tuple[str, ...]:
    """The label words to score: the outside word, then start and inside of each label."""
    return (OUTSIDE_WORD, *(word for label in labels for word in (label.start, label.inside)))
