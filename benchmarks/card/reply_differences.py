"""Differences between replies to the same requests: scores by probability, texts by character."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import numpy as np

from benchmarks.card.figure_format import four_digits
from worker.engine.api import GenerateResult, Reply, RequestError, ScoreResult

Pairs = Sequence[tuple[Reply, Reply]]


def compare_replies(pairs: Pairs) -> dict[str, Any]:
    """Figures of all pairs (reply, reference)."""
    figures = _compare_scores(pairs) | _compare_texts(pairs)
    if refused := sum(
        isinstance(reply, RequestError) or isinstance(reference, RequestError) for reply, reference in pairs
    ):
        figures["refused"] = refused
    return figures


def _compare_scores(pairs: Pairs) -> dict[str, Any]:
    scores = [
        (a.log_probabilities, b.log_probabilities)
        for reply, reference in pairs
        if isinstance(reply, ScoreResult) and isinstance(reference, ScoreResult)
        for a, b in zip(reply.scores, reference.scores, strict=True)
    ]
    if not scores:
        return {}
    same = np.concatenate([a.argmax(1) == b.argmax(1) for a, b in scores])
    ordered = np.concatenate([np.sort(b, 1)[:, -2:] for _, b in scores])
    margins = (ordered[:, 1] - ordered[:, 0])[~same]
    in_log = max(float(np.abs(a - b).max(initial=0.0)) for a, b in scores)
    in_probability = max(float(np.abs(np.exp(a) - np.exp(b)).max(initial=0.0)) for a, b in scores)
    return {
        "decided": len(same),
        "same": round(float(same.mean()), 5),
        "widest_margin_that_flipped": four_digits(float(margins.max(initial=0.0))),
        "greatest_in_log": four_digits(in_log),
        "greatest_in_probability": four_digits(in_probability),
    }


def _compare_texts(pairs: Pairs) -> dict[str, Any]:
    texts = [
        (a.text, b.text) for a, b in pairs if isinstance(a, GenerateResult) and isinstance(b, GenerateResult)
    ]
    if not texts:
        return {}
    differing = [f"{_common_prefix_length(a, b)} of {len(b)} characters" for a, b in texts if a != b]
    return {"written": len(texts), "same_texts": len(texts) - len(differing), "same_until": differing}


def _common_prefix_length(text: str, other: str) -> int:
    pairs = zip(text, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
