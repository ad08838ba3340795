"""Ranking model: the probability that a sentence answers a query, by logistic regression over its features.

One regression for queries that name a thing ("myocardial infarction"), another for queries that ask for an
aspect of the note ("Which medications?"). `notemill train join` fits the weights on dev data and stores them
in the adapter's notemill.json.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


class SentenceFeatures(NamedTuple):
    """Features of one sentence for one query."""

    bias: float
    """Always 1."""
    wordless: float
    """1 if no sentence of the note shares many words with the query, else 0."""
    decision: float
    """The network's log-odds at the end of the sentence."""
    words: float
    """Share of the query's words that it contains, 0 to 1."""
    meaning: float
    """Cosine similarity of its embedding to the query's, -1 to 1."""
    section: float
    """1 if it is in a section that the query names, else 0."""
    elsewhere: float
    """1 if the note has such a section and the sentence is in another, else 0."""
    evidence: float
    """Probability that it is about the requested aspect, 0 to 1."""


class RankingWeights(NamedTuple):
    """One weight for each feature."""

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
    """Both regressions, and the threshold from which a sentence is an answer."""

    thing: RankingWeights = _DECISION_ALONE
    aspect: RankingWeights | None = None
    """None: all queries use the regression for things."""
    least_nearness: float = 0.6
    """Minimum similarity of a query to a phrasing of an aspect's question to count as asking for it."""
    threshold: float = 0.3

    @property
    def compares_texts(self) -> bool:
        """True if the model uses sentence embeddings."""
        return self.aspect is not None or bool(self.thing.meaning)

    @staticmethod
    def of(stored: dict[str, Any]) -> RankingModel:
        """The model stored in an adapter's notemill.json. Raises TypeError for unknown names."""
        weights = {
            name: RankingWeights(**stored[name])
            for name in ("thing", "aspect")
            if stored.get(name) is not None
        }
        return RankingModel(**(stored | weights))

    def stored(self) -> dict[str, Any]:
        """The form that `of` reads."""
        return {
            "thing": self.thing._asdict(),
            "aspect": self.aspect and self.aspect._asdict(),
            "least_nearness": self.least_nearness,
            "threshold": self.threshold,
        }
