"""Whether a mention is denied: what the rules say and what the network says add up, in log odds.

The network is asked at a mention's end, in the reading that finds it. Fitted on dev data by `notemill train
join`; an adapter's own note has the weights, and without them the rules speak alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from models.answers import Assertion

ASKED = frozenset({"problem", "medication", "procedure", "test"})
"""Labels of mentions that hold or do not; an anatomy or a dosage does neither."""


class NegationModel(NamedTuple):
    """Weights of a logistic regression."""

    bias: float
    rules: float
    """What it counts that the rules say it."""
    network: float
    """What the network's log odds count."""

    @staticmethod
    def of(stored: Mapping[str, float] | None) -> NegationModel | None:
        """From an adapter's note. Raises TypeError for names that it does not know."""
        return NegationModel(**stored) if stored else None

    def corrected(self, held: frozenset[Assertion], log_odds: float) -> frozenset[Assertion]:
        """What the rules say of a mention, `NEGATED` among it just where both together say so."""
        rules = self.rules if Assertion.NEGATED in held else 0.0
        if self.bias + rules + self.network * log_odds > 0:
            return held | {Assertion.NEGATED}
        return held - {Assertion.NEGATED}
