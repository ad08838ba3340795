"""Ranking metrics of one query's sentences, as trec_eval defines them. Pure numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from training.evaluation.metrics.counts import Counts


def order(scores: Sequence[float]) -> list[int]:
    """Indexes by score, best first; equal scores in the order of the note."""
    return sorted(range(len(scores)), key=lambda index: (-scores[index], index))


def average_precision(relevant: Sequence[bool]) -> float:
    """Mean of the precision at each relevant sentence; `relevant` in ranked order. 0 if none is relevant."""
    hits = np.asarray(relevant, dtype=np.float64)
    if not hits.sum():
        return 0.0
    precision = hits.cumsum() / np.arange(1, len(hits) + 1)
    return float((precision * hits).sum() / hits.sum())


def r_precision(relevant: Sequence[bool]) -> float:
    """Precision at rank R, the number of relevant sentences."""
    size = sum(relevant)
    return sum(relevant[:size]) / size if size else 0.0


def ndcg(relevant: Sequence[bool], *, depth: int = 10) -> float:
    """Gain discounted by log2 of the rank, over the best possible (Järvelin and Kekäläinen 2002)."""
    best = _gain([True] * min(sum(relevant), depth))
    return _gain(relevant[:depth]) / best if best else 0.0


def set_counts(scores: Sequence[float], relevant: Sequence[bool], threshold: float) -> Counts:
    """Counts of the sentences that score at or above the threshold."""
    selected = [hit for score, hit in zip(scores, relevant, strict=True) if score >= threshold]
    return Counts(sum(selected), len(selected), sum(selected), sum(relevant))


def best_threshold(scores: Sequence[Sequence[float]], relevant: Sequence[Sequence[bool]]) -> float:
    """The threshold over all queries with the best micro F1: an upper bound for a baseline."""
    flat = np.array([value for values in scores for value in values], dtype=np.float64)
    hits = np.array([value for values in relevant for value in values], dtype=np.float64)
    if not hits.sum():
        return float("inf")
    ranked = np.argsort(-flat, kind="stable")
    f1 = 2 * hits[ranked].cumsum() / (np.arange(1, len(flat) + 1) + hits.sum())
    is_last_of_equals = np.append(flat[ranked][1:] != flat[ranked][:-1], True)
    return float(flat[ranked][int(np.where(is_last_of_equals, f1, -1.0).argmax())])


def _gain(relevant: Sequence[bool]) -> float:
    discounts: npt.NDArray[np.float64] = 1 / np.log2(np.arange(2, len(relevant) + 2))
    return float((np.asarray(relevant, dtype=np.float64) * discounts).sum())
