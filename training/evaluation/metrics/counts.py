"""Precision, recall and F1 from counts, with bootstrap intervals over records. Pure numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SAMPLES = 1_000
"""Bootstrap resamples of an interval; its ends vary by about 0.003 with the seed."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of one record, or of many."""

    predicted_right: int = 0
    """Answers that are right."""
    predicted: int = 0
    gold_right: int = 0
    """Gold items that were found; differs from `predicted_right` where overlap suffices."""
    gold: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.predicted_right + other.predicted_right,
            self.predicted + other.predicted,
            self.gold_right + other.gold_right,
            self.gold + other.gold,
        )

    @property
    def precision(self) -> float:
        return self.predicted_right / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        return self.gold_right / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 0 if both are 0."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def figures(records: Sequence[Counts]) -> dict[str, float | list[float]]:
    """Micro precision, recall and F1 of all records, each with its interval."""
    whole = sum(records, Counts())
    values = {"precision": whole.precision, "recall": whole.recall, "f1": whole.f1}
    rounded: dict[str, float | list[float]] = {name: round(value, 4) for name, value in values.items()}
    return rounded | {f"{name}_interval": ends for name, ends in _intervals(records).items()}


def mean_interval(values: Sequence[float], *, seed: int = 0) -> list[float]:
    """The 95 % interval of a mean over records (percentiles of a bootstrap, Efron 1979)."""
    if not values:
        return [0.0, 0.0]
    means = np.asarray(values, dtype=np.float64)[_drawn(len(values), seed)].mean(axis=1)
    return _ends(means)


def _intervals(records: Sequence[Counts], *, seed: int = 0) -> dict[str, list[float]]:
    if not records:
        return {name: [0.0, 0.0] for name in ("precision", "recall", "f1")}
    counts = np.array(
        [(r.predicted_right, r.predicted, r.gold_right, r.gold) for r in records], dtype=np.float64
    )
    sums = counts[_drawn(len(records), seed)].sum(axis=1)
    precision, recall = _ratio(sums[:, 0], sums[:, 1]), _ratio(sums[:, 2], sums[:, 3])
    f1 = _ratio(2 * precision * recall, precision + recall)
    return {"precision": _ends(precision), "recall": _ends(recall), "f1": _ends(f1)}


def _drawn(size: int, seed: int) -> npt.NDArray[np.int64]:
    """Records drawn with replacement, shape [SAMPLES, size]."""
    return np.random.default_rng(seed).integers(0, size, (SAMPLES, size))


def _ratio(above: npt.NDArray[np.float64], below: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _ends(values: npt.NDArray[np.float64]) -> list[float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return [round(float(low), 4), round(float(high), 4)]
