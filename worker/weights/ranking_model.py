"""Ranking model: the probability that a sentence answers a query, by logistic regression over its features.

One regression for queries that name a topic ("myocardial infarction"), another for queries with an intent
("Which medications?"). `notemill train join` fits the weights on dev data and stores them
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
    embedding_similarity: float
    """Cosine similarity of its embedding to the query's, -1 to 1."""
    section: float
    """1 if it is in a section that the query names, else 0."""
    elsewhere: float
    """1 if the note has such a section and the sentence is in another, else 0."""
    intent_score: float
    """Probability that it answers the intent of the query, 0 to 1."""


class RankingWeights(NamedTuple):
    """One weight for each feature."""

    bias: float = 0.0
    wordless: float = 0.0
    decision: float = 1.0
    words: float = 0.0
    embedding_similarity: float = 0.0
    section: float = 0.0
    elsewhere: float = 0.0
    intent_score: float = 0.0


_DECISION_ALONE = RankingWeights()


@dataclass(frozen=True, slots=True)
class RankingModel:
    """Both regressions, and the threshold from which a sentence is an answer."""

    topic_weights: RankingWeights = _DECISION_ALONE
    intent_weights: RankingWeights | None = None
    """None: all queries use the regression for topics."""
    min_similarity: float = 0.6
    """Minimum similarity of a query to a wording of an intent for the query to have that intent."""
    threshold: float = 0.3

    @property
    def compares_texts(self) -> bool:
        """True if the model uses sentence embeddings."""
        return self.intent_weights is not None or bool(self.topic_weights.embedding_similarity)

    @staticmethod
    def of(stored: dict[str, Any]) -> RankingModel:
        """The model stored in an adapter's notemill.json. Raises TypeError for unknown names."""
        values = {_FIELD_OF.get(name, name): value for name, value in stored.items()}
        weights = {
            name: _weights(values[name])
            for name in ("topic_weights", "intent_weights")
            if values.get(name) is not None
        }
        return RankingModel(**(values | weights))

    def stored(self) -> dict[str, Any]:
        """The form that `of` reads."""
        return {
            "thing": _stored_weights(self.topic_weights),
            "aspect": self.intent_weights and _stored_weights(self.intent_weights),
            "least_nearness": self.min_similarity,
            "threshold": self.threshold,
        }


_FIELD_OF = {"thing": "topic_weights", "aspect": "intent_weights", "least_nearness": "min_similarity"}
_FEATURE_OF = {"meaning": "embedding_similarity", "evidence": "intent_score"}
"""Names of this version for the names in notemill.json, which must not change: recipes contain them."""


def _weights(stored: dict[str, float]) -> RankingWeights:
    return RankingWeights(**{_FEATURE_OF.get(name, name): weight for name, weight in stored.items()})


def _stored_weights(weights: RankingWeights) -> dict[str, float]:
    stored_names = {feature: name for name, feature in _FEATURE_OF.items()}
    return {stored_names.get(name, name): weight for name, weight in weights._asdict().items()}
