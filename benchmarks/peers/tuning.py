"""Tuning by trying: a contender answers the sample once with each choice and keeps the fastest."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.comparison.workload import BenchmarkPrompt, Contender


def fastest_choice(
    contender: Contender, choices: Sequence[dict[str, Any]], sample: Sequence[BenchmarkPrompt]
) -> dict[str, Any]:
    """The fastest choice, with all of them and their requests a second under `tried`.

    A choice that raises is kept in the list with its reason: it is no candidate.
    """
    tried = []
    for choice in choices:
        contender.tuning = choice
        tried.append(choice | _measured(contender, sample))
        print(f"  {contender.name}: {tried[-1]}", file=sys.stderr, flush=True)
    best = max(tried, key=lambda prompt: prompt.get("requests_per_second", 0.0))
    if "failed" in best:
        raise RuntimeError(f"no choice works: {best['failed']}")
    return {**{key: best[key] for key in choices[0]}, "tried": tried}


def _measured(contender: Contender, sample: Sequence[BenchmarkPrompt]) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        contender.answer(sample)
    except Exception as error:  # noqa: BLE001  a peer's own errors are many; the reason is shown
        return {"failed": f"{type(error).__name__}: {str(error)[:200]}"}
    return {"requests_per_second": round(len(sample) / (time.perf_counter() - started), 3)}
