"""Calibration error: whether answers with probability 0.7 are right seven times of ten. Pure numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers whose probability lies in one tenth."""

    mean_probability: float
    share_right: float
    count: int


def reliability(probabilities: Sequence[float], is_right: Sequence[bool]) -> list[Bin]:
    """A bin for each tenth that has any answers."""
    values, right = np.asarray(probabilities, dtype=np.float64), np.asarray(is_right, dtype=np.float64)
    places = np.minimum((values * BINS).astype(int), BINS - 1)
    return [
        Bin(float(values[inside].mean()), float(right[inside].mean()), int(inside.sum()))
        for place in range(BINS)
        for inside in (places == place,)
        if inside.any()
    ]


def expected_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error (Naeini 2015): the mean distance of share and probability, by count."""
    total = sum(one.count for one in bins)
    distances = (one.count * abs(one.share_right - one.mean_probability) for one in bins)
    return sum(distances) / total if total else 0.0


def figures(probabilities: Sequence[float], is_right: Sequence[bool]) -> dict[str, object]:
    """The error and the bins as [probability, share right, count]."""
    bins = reliability(probabilities, is_right)
    rows = [[round(one.mean_probability, 4), round(one.share_right, 4), one.count] for one in bins]
    return {"expected_error": round(expected_error(bins), 4), "bins": rows}
