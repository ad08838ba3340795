"""Tunes a contender: it answers the sample once with each choice of options, and the fastest is kept."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.comparison.workload import BenchmarkPrompt, Contender


def fastest_choice(
    contender: Contender, choices: Sequence[dict[str, Any]], sample: Sequence[BenchmarkPrompt]
) -> dict[str, Any]:
    """The fastest choice, with all choices and their requests a second under `tried`.

    A choice that fails stays in the list with its reason. Raises RuntimeError when all fail.
    """
    tried = []
    for choice in choices:
        contender.tuning = choice
        tried.append(choice | _measure(contender, sample))
        print(f"  {contender.name}: {tried[-1]}", file=sys.stderr, flush=True)
    best = max(tried, key=lambda choice: choice.get("requests_per_second", 0.0))
    if "failed" in best:
        raise RuntimeError(f"every choice fails: {best['failed']}")
    return {**{key: best[key] for key in choices[0]}, "tried": tried}


def _measure(contender: Contender, sample: Sequence[BenchmarkPrompt]) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        contender.answer(sample)
    except Exception as error:  # noqa: BLE001  a peer may raise anything; the reason is reported
        return {"failed": f"{type(error).__name__}: {str(error)[:200]}"}
    return {"requests_per_second": round(len(sample) / (time.perf_counter() - started), 3)}
