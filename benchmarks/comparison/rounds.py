"""Runs contenders on the same prompts in alternating rounds; one that fails is reported with its reason."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from benchmarks.comparison.workload import BenchmarkPrompt, Contender, GeneratedAnswer

_Contender = TypeVar("_Contender", bound=Contender)


@dataclass(slots=True)
class ContenderRun:
    """Times and answers of one contender."""

    seconds: list[float] = field(default_factory=list)
    """Seconds of each round."""
    answers: list[GeneratedAnswer] = field(default_factory=list)
    """Answers of the first round."""
    tuning: dict[str, Any] = field(default_factory=dict)
    missing: str = ""
    """Why it did not finish; empty if it did."""

    @property
    def median_seconds(self) -> float:
        return statistics.median(self.seconds)


def compare_in_rounds(
    makers: Mapping[str, Callable[[], _Contender]],
    prompts: Sequence[BenchmarkPrompt],
    sample: Sequence[BenchmarkPrompt],
    rounds: int,
    at_end: Callable[[str, _Contender], None] = lambda _name, _contender: None,
) -> dict[str, ContenderRun]:
    """Prepares all contenders, then times their answers in turn. `at_end` is called with each, untimed."""
    runs = {name: ContenderRun() for name in makers}
    contenders: dict[str, _Contender] = {}
    for name, make in makers.items():
        _report(f"{name}: loading, tuning on {len(sample)} prompts, warming up")
        with _KeepReason(runs[name]):
            contenders[name] = make()
            contenders[name].prepare(sample)
            runs[name].tuning = contenders[name].tuning
    _estimate(contenders, runs, prompts, rounds)
    for number in range(rounds):
        for name, contender in contenders.items():
            if not runs[name].missing:
                with _KeepReason(runs[name]):
                    _run(name, contender, runs[name], prompts, number)
    for name, contender in contenders.items():
        if not runs[name].missing:
            at_end(name, contender)
            contender.close()
    return runs


def _run(
    name: str, contender: Contender, run: ContenderRun, prompts: Sequence[BenchmarkPrompt], number: int
) -> None:
    contender.clear_caches()
    started = time.perf_counter()
    answers = contender.answer(prompts)
    run.seconds.append(time.perf_counter() - started)
    run.answers = run.answers or answers
    _report(f"round {number + 1}, {name}: {run.seconds[-1]:.1f} s")


def _estimate(
    contenders: Mapping[str, Contender],
    runs: Mapping[str, ContenderRun],
    prompts: Sequence[BenchmarkPrompt],
    rounds: int,
) -> None:
    """Reports an upper estimate of the whole time, from six prompts of all kinds for each contender."""
    sample = prompts[:: max(1, len(prompts) // 6)]
    total = 0.0
    for name, contender in contenders.items():
        if not runs[name].missing:
            with _KeepReason(runs[name]):
                started = time.perf_counter()
                contender.answer(sample)
                total += (time.perf_counter() - started) * len(prompts) / len(sample) * rounds
    _report(f"{len(prompts)} prompts, {rounds} rounds: at most about {total / 60:.0f} more minutes")


class _KeepReason:
    """Turns an exception of a contender into the reason why it is missing."""

    def __init__(self, run: ContenderRun) -> None:
        self._run = run

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, _trace: Any) -> bool:
        if isinstance(error, Exception):
            self._run.missing = f"{type(error).__name__}: {str(error)[:300]}"
            _report(f"  missing: {self._run.missing}")
            return True
        return False


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
