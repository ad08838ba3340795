"""Negation model: combines the negation rules with the network's log-odds for a mention.

The network decides at the end of the mention, in the forward pass that tags it. `notemill train join` fits
the weights on dev data and stores them in the adapter's notemill.json; without weights the rules decide
alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from models.answers import Assertion

NEGATABLE_LABELS = frozenset({"problem", "medication", "procedure", "test"})
"""Labels of mentions that can be negated; an anatomy or a dosage cannot."""


class NegationModel(NamedTuple):
    """Weights of a logistic regression."""

    bias: float
    rules: float
    """Weight of the rules saying that the mention is negated."""
    network: float
    """Weight of the network's log-odds."""

    @staticmethod
    def of(stored: Mapping[str, float] | None) -> NegationModel | None:
        """The model stored in an adapter's notemill.json. Raises TypeError for unknown names."""
        return NegationModel(**stored) if stored else None

    def apply(self, statuses: frozenset[Assertion], log_odds: float) -> frozenset[Assertion]:
        """The assertion statuses by the rules, with NEGATED added or removed by the model."""
        rules = self.rules if Assertion.NEGATED in statuses else 0.0
        if self.bias + rules + self.network * log_odds > 0:
            return statuses | {Assertion.NEGATED}
        return statuses - {Assertion.NEGATED}
