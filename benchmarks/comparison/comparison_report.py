"""A comparison's figures as one JSON object, and as tables for people."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.comparison.agreement import Agreement
from benchmarks.comparison.answer_quality import AnswerQuality
from benchmarks.comparison.rounds import ContenderRun


def comparison_figures(
    raced: Mapping[str, ContenderRun],
    notes: int,
    requests: int,
    agreed: Mapping[str, Agreement],
    qualities: Mapping[str, AnswerQuality] | None = None,
) -> dict[str, Any]:
    """Ratios are ours to theirs; none where one of the two did not run."""
    pace = {name: round(notes * 3600 / one.median_seconds, 1) for name, one in raced.items() if one.seconds}
    peers = {name: value for name, value in pace.items() if name != "ours"}
    best = max(peers, key=peers.__getitem__, default=None)
    of_ours = agreed.get("ours")
    return {
        "requests": requests,
        "notes_per_hour": pace,
        "best_peer": best,
        "ratio_to_naive": _ratio(pace, "naive"),
        "ratio_to_best_peer": _ratio(pace, best),
        "agreement": None if of_ours is None else of_ours.jobs_but_rounding,
        "engines": {
            name: _of_engine(one, requests, agreed.get(name), (qualities or {}).get(name))
            for name, one in raced.items()
        },
    }


def describe_machine(threads: int) -> dict[str, Any]:
    """Date, processor and threads: figures of one machine are no other's."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {"date": today, "processor": (names or [platform.processor()])[0], "threads": threads}


def comparison_tables(figures: Mapping[str, Any]) -> str:
    """Both tables."""
    head = f"{figures['date']}, {figures['processor']}, {figures['threads']} threads"
    lines = [f"{head}, {figures['notes']} notes, medians of {figures['rounds']}", ""]
    if "engines" in figures:
        lines += ["same prompts", *_rows(figures), _ratios(figures)]
    if "questions" in figures:
        questions = figures["questions"]
        lines += ["", f"same questions, each in its fastest form (peers: {questions['weights']} weights)"]
        lines += [*_rows(questions), _ratios(questions)]
    return "\n".join(lines)


def _of_engine(
    raced: ContenderRun, requests: int, agreed: Agreement | None, measured: AnswerQuality | None
) -> dict[str, Any]:
    if not raced.seconds:
        return {"missing": raced.missing}
    return {
        "seconds": [round(one, 2) for one in raced.seconds],
        "written_tokens": sum(one.num_tokens for one in raced.answers),
        "requests_per_second": round(requests / raced.median_seconds, 3),
        "agreement": None if agreed is None else asdict(agreed),
        "quality": None if measured is None else asdict(measured),
        "tuning": raced.tuning,
        **({"missing": raced.missing} if raced.missing else {}),
    }


def _ratio(pace: Mapping[str, float], peer: str | None) -> float | None:
    return round(pace["ours"] / pace[peer], 2) if "ours" in pace and peer in pace else None


def _rows(figures: Mapping[str, Any]) -> list[str]:
    rows = [f"  {'engine':<11} {'notes/h':>9} {'tokens':>7}  {'jobs agree':<22} {'quality':<22} tuning"]
    for name, one in figures["engines"].items():
        if "seconds" not in one:
            rows.append(f"  {name:<11} missing: {one['missing']}")
            continue
        shown = ", ".join(f"{key} {value}" for key, value in one["tuning"].items() if key != "tried")
        pace = figures["notes_per_hour"][name]
        rows.append(
            f"  {name:<11} {pace:>9.1f} {one['written_tokens']:>7}  {_agreed(one['agreement']):<22}"
            f" {_measured(one['quality']):<22} {shown}"
        )
    return rows


def _agreed(one: Mapping[str, float] | None) -> str:
    if one is None:
        return "not compared"
    return f"{one['jobs']:.0%}, {one['jobs_but_rounding']:.0%} but rounding"


def _measured(one: Mapping[str, float] | None) -> str:
    if one is None:
        return "not measured"
    return f"entities {one['entities_f1']:.2f}, search {one['search_f1']:.2f}"


def _ratios(figures: Mapping[str, Any]) -> str:
    naive, best = figures["ratio_to_naive"], figures["ratio_to_best_peer"]
    of_naive = "" if naive is None else f"{naive} times the naive loop, "
    return f"  ours: {of_naive}{best} times the best peer ({figures['best_peer']})"
