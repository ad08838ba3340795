"""Contenders over the same work, in turn, round after round; the one that cannot run says why."""

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
    """One contender's part."""

    seconds: list[float] = field(default_factory=list)
    """Of each round."""
    answers: list[GeneratedAnswer] = field(default_factory=list)
    """Of the first round."""
    tuning: dict[str, Any] = field(default_factory=dict)
    missing: str = ""
    """Why it did not run to the end; empty where it did."""

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
    """Prepares all, then lets them answer in turn. `at_end` is called with each, outside of the time."""
    raced = {name: ContenderRun() for name in makers}
    contenders: dict[str, _Contender] = {}
    for name, make in makers.items():
        _tell(f"{name}: loads, tunes on {len(sample)} prompts, warms up")
        with _Kept(raced[name]):
            contenders[name] = make()
            contenders[name].prepare(sample)
            raced[name].tuning = contenders[name].tuning
    _estimate(contenders, raced, prompts, rounds)
    for number in range(rounds):
        for name, contender in contenders.items():
            if not raced[name].missing:
                with _Kept(raced[name]):
                    _run(name, contender, raced[name], prompts, number)
    for name, contender in contenders.items():
        if not raced[name].missing:
            at_end(name, contender)
            contender.close()
    return raced


def _run(
    name: str, contender: Contender, raced: ContenderRun, prompts: Sequence[BenchmarkPrompt], number: int
) -> None:
    contender.forget()
    started = time.perf_counter()
    answers = contender.answer(prompts)
    raced.seconds.append(time.perf_counter() - started)
    raced.answers = raced.answers or answers
    _tell(f"round {number + 1}, {name}: {raced.seconds[-1]:.1f} s")


def _estimate(
    contenders: Mapping[str, Contender],
    raced: Mapping[str, ContenderRun],
    prompts: Sequence[BenchmarkPrompt],
    rounds: int,
) -> None:
    """From every contender's time for six prompts of all kinds, which flatters none: batches do better."""
    some = prompts[:: max(1, len(prompts) // 6)]
    total = 0.0
    for name, contender in contenders.items():
        if not raced[name].missing:
            with _Kept(raced[name]):
                started = time.perf_counter()
                contender.answer(some)
                total += (time.perf_counter() - started) * len(prompts) / len(some) * rounds
    _tell(f"{len(prompts)} prompts, {rounds} rounds: at most about {total / 60:.0f} minutes from here")


class _Kept:
    """An error of a contender becomes the reason why it is missing."""

    def __init__(self, raced: ContenderRun) -> None:
        self._raced = raced

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, _trace: Any) -> bool:
        if isinstance(error, Exception):
            self._raced.missing = f"{type(error).__name__}: {str(error)[:300]}"
            _tell(f"  missing: {self._raced.missing}")
            return True
        return False


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
