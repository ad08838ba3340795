"""Figures of a comparison as one JSON object, and as tables."""

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
    runs: Mapping[str, ContenderRun],
    notes: int,
    requests: int,
    agreements: Mapping[str, Agreement],
    qualities: Mapping[str, AnswerQuality] | None = None,
) -> dict[str, Any]:
    """The JSON object of one table. Ratios are notemill's rate to the peer's; None if one did not run."""
    rates = {name: round(notes * 3600 / run.median_seconds, 1) for name, run in runs.items() if run.seconds}
    peers = {name: rate for name, rate in rates.items() if name != "ours"}
    best = max(peers, key=peers.__getitem__, default=None)
    agreement = agreements.get("ours")
    return {
        "requests": requests,
        "notes_per_hour": rates,
        "best_peer": best,
        "ratio_to_naive": _ratio(rates, "naive"),
        "ratio_to_best_peer": _ratio(rates, best),
        "agreement": None if agreement is None else agreement.jobs_but_rounding,
        "engines": {
            name: _engine_figures(run, requests, agreements.get(name), (qualities or {}).get(name))
            for name, run in runs.items()
        },
    }


def describe_machine(threads: int) -> dict[str, Any]:
    """Date, processor and threads, without which figures cannot be compared."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {"date": today, "processor": (names or [platform.processor()])[0], "threads": threads}


def comparison_tables(figures: Mapping[str, Any]) -> str:
    """Both tables as text."""
    head = f"{figures['date']}, {figures['processor']}, {figures['threads']} threads"
    lines = [f"{head}, {figures['notes']} notes, medians of {figures['rounds']}", ""]
    if "engines" in figures:
        lines += ["same prompts", *_rows(figures), _ratios(figures)]
    if "questions" in figures:
        questions = figures["questions"]
        lines += [
            "",
            f"same questions, each engine in its fastest form (peers: {questions['weights']} weights)",
        ]
        lines += [*_rows(questions), _ratios(questions)]
    return "\n".join(lines)


def _engine_figures(
    run: ContenderRun, requests: int, agreement: Agreement | None, quality: AnswerQuality | None
) -> dict[str, Any]:
    if not run.seconds:
        return {"missing": run.missing}
    return {
        "seconds": [round(seconds, 2) for seconds in run.seconds],
        "written_tokens": sum(answer.num_tokens for answer in run.answers),
        "requests_per_second": round(requests / run.median_seconds, 3),
        "agreement": None if agreement is None else asdict(agreement),
        "quality": None if quality is None else asdict(quality),
        "tuning": run.tuning,
        **({"missing": run.missing} if run.missing else {}),
    }


def _ratio(rates: Mapping[str, float], peer: str | None) -> float | None:
    return round(rates["ours"] / rates[peer], 2) if "ours" in rates and peer in rates else None


def _rows(figures: Mapping[str, Any]) -> list[str]:
    rows = [f"  {'engine':<11} {'notes/h':>9} {'tokens':>7}  {'jobs agree':<22} {'quality':<22} tuning"]
    for name, engine in figures["engines"].items():
        if "seconds" not in engine:
            rows.append(f"  {name:<11} missing: {engine['missing']}")
            continue
        shown = ", ".join(f"{key} {value}" for key, value in engine["tuning"].items() if key != "tried")
        rate = figures["notes_per_hour"][name]
        rows.append(
            f"  {name:<11} {rate:>9.1f} {engine['written_tokens']:>7}"
            f"  {_format_agreement(engine['agreement']):<22}"
            f" {_format_quality(engine['quality']):<22} {shown}"
        )
    return rows


def _format_agreement(agreement: Mapping[str, float] | None) -> str:
    if agreement is None:
        return "not compared"
    return f"{agreement['jobs']:.0%}, {agreement['jobs_but_rounding']:.0%} but rounding"


def _format_quality(quality: Mapping[str, float] | None) -> str:
    if quality is None:
        return "not measured"
    return f"entities {quality['entities_f1']:.2f}, search {quality['search_f1']:.2f}"


def _ratios(figures: Mapping[str, Any]) -> str:
    naive, best = figures["ratio_to_naive"], figures["ratio_to_best_peer"]
    to_naive = "" if naive is None else f"{naive} times the naive loop, "
    return f"  ours: {to_naive}{best} times the best peer ({figures['best_peer']})"
