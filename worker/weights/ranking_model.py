"""How what is known of a sentence becomes the probability that it answers a query. Only numbers.

A logistic regression for queries that name a thing, "myocardial infarction", and another for those that ask
for a whole aspect of the note, "Which medications?". Fitted on dev data by `notemill train join`; an
adapter's own note has the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


class SentenceFeatures(NamedTuple):
    """What is known of one sentence, beside one query."""

    bias: float
    """1."""
    wordless: float
    """1 where no sentence of the note shares much with the query."""
    decision: float
    """Log-odds of the decision at the sentence's end."""
    words: float
    """The share of the query's words that it has, 0 to 1."""
    meaning: float
    """Its nearness to the query, -1 to 1."""
    section: float
    """1 where it stands in a section that the query names."""
    elsewhere: float
    """1 where the note has such a section and it stands in another."""
    evidence: float
    """How probably it tells of the aspect that is asked for, 0 to 1."""


class RankingWeights(NamedTuple):
    """One for each clue."""

    bias: float = 0.0
    wordless: float = 0.0
    decision: float = 1.0
    words: float = 0.0
    meaning: float = 0.0
    section: float = 0.0
    elsewhere: float = 0.0
    evidence: float = 0.0


_DECISION_ALONE = RankingWeights()


@dataclass(frozen=True, slots=True)
class RankingModel:
    """Both regressions, and from where on a sentence is served."""

    thing: RankingWeights = _DECISION_ALONE
    aspect: RankingWeights | None = None
    """None: every query is taken for one that names a thing."""
    least_nearness: float = 0.6
    """From which nearness to a way to ask for it on an aspect is named."""
    threshold: float = 0.3

    @property
    def compares_texts(self) -> bool:
        """Whether anything is compared by meaning."""
        return self.aspect is not None or bool(self.thing.meaning)

    @staticmethod
    def of(stored: dict[str, Any]) -> RankingModel:
        """From an adapter's note. Raises TypeError for names that it does not know."""
        weights = {
            name: RankingWeights(**stored[name])
            for name in ("thing", "aspect")
            if stored.get(name) is not None
        }
        return RankingModel(**(stored | weights))

    def stored(self) -> dict[str, Any]:
        """As `of` reads it."""
        return {
            "thing": self.thing._asdict(),
            "aspect": self.aspect and self.aspect._asdict(),
            "least_nearness": self.least_nearness,
            "threshold": self.threshold,
        }
