"""The words whose probabilities decide on a second copy of the text: entities, sentences and their kinds.

Nothing is written, so every span is one of the text by construction. The idea is published as
sequence repetition (arXiv 2601.17585).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.answers import Assertion

OUTSIDE_WORD = "-"
SEARCH_WORDS = ("yes", "no")
SENTENCE_KINDS = ("course", "findings", "assessment", "plan", "other")
"""What a sentence of a note tells of: how it came and went on, what was seen and measured, what it is
taken for, what is to be done; `other` is all the rest."""

ASSERTION_WORDS = {
    "yes": Assertion.PRESENT,
    "no": Assertion.NEGATED,
    "maybe": Assertion.POSSIBLE,
    "before": Assertion.HISTORICAL,
    "family": Assertion.FAMILY,
}
"""What is said of a mention at its end: that it is so, is not, may be, was long ago, or is a relative's."""


@dataclass(frozen=True, slots=True)
class TaggedLabel:
    """A label with the two words that mark it in a note."""

    name: str
    start: str
    """A capital letter: an entity begins with the token just read."""
    inside: str
    """The same letter, small: it goes on."""


def tagged_labels(names: Sequence[str]) -> tuple[TaggedLabel, ...]:
    """A letter for each label: the first of its name that is still free, else of the alphabet.

    Raises ValueError for more than 26 labels.
    """
    if len(names) > 26:
        raise ValueError(f"{len(names)} labels; marks can tell 26 apart")
    taken: set[str] = set()
    marked = []
    for name in names:
        letter = next(
            one for one in name + "abcdefghijklmnopqrstuvwxyz" if one.isalpha() and one not in taken
        )
        taken.add(letter)
        marked.append(TaggedLabel(name, letter.upper(), letter))
    return tuple(marked)


def tag_words(labels: Sequence[TaggedLabel]) -> tuple[str, ...]:
    """The words to compare: nothing, then start and inside of each label."""
    return (OUTSIDE_WORD, *(word for label in labels for word in (label.start, label.inside)))
