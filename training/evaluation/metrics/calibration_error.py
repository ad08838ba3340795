"""Calibration error: how far probabilities are from the share of right answers. Pure numpy."""

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
    """One bin for each tenth of probability that has answers."""
    values, right = np.asarray(probabilities, dtype=np.float64), np.asarray(is_right, dtype=np.float64)
    bin_numbers = np.minimum((values * BINS).astype(int), BINS - 1)
    return [
        Bin(float(values[inside].mean()), float(right[inside].mean()), int(inside.sum()))
        for number in range(BINS)
        for inside in (bin_numbers == number,)
        if inside.any()
    ]


def expected_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error (Naeini 2015): the mean distance of share and probability, by count."""
    total = sum(bin_.count for bin_ in bins)
    distances = (bin_.count * abs(bin_.share_right - bin_.mean_probability) for bin_ in bins)
    return sum(distances) / total if total else 0.0


def figures(probabilities: Sequence[float], is_right: Sequence[bool]) -> dict[str, object]:
    """The expected error, and each bin as [mean probability, share right, count]."""
    bins = reliability(probabilities, is_right)
    rows = [[round(bin_.mean_probability, 4), round(bin_.share_right, 4), bin_.count] for bin_ in bins]
    return {"expected_error": round(expected_error(bins), 4), "bins": rows}
