"""Counters of ended jobs of this process by task and outcome, with their durations."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from models.answers import Task
from models.outcomes import Failed, Outcome

BUCKETS_SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Upper ends; a note takes seconds on a CPU, and `time_limit_seconds` is half an hour."""


@dataclass(slots=True)
class Durations:
    """A histogram: how many took up to each of BUCKETS_SECONDS, the last number being of the longer ones."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_SECONDS) + 1))
    total_seconds: float = 0.0


class OutcomeCounters:
    """Outcome counters since the start of the process; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended: Counter[tuple[Task, str]] = Counter()
        self._durations: dict[Task, Durations] = {task: Durations() for task in Task}
        self._unexpected_errors = 0

    def end(self, task: Task, outcome: Outcome) -> None:
        """Counts the recorded outcome of a job."""
        name = outcome.reason.value if isinstance(outcome, Failed) else "finished"
        with self._lock:
            self._ended[task, name] += 1
            durations = self._durations[task]
            durations.counts[bisect_left(BUCKETS_SECONDS, outcome.duration_seconds)] += 1
            durations.total_seconds += outcome.duration_seconds

    def count_unexpected_error(self) -> None:
        """Counts an attempt that ended in an exception."""
        with self._lock:
            self._unexpected_errors += 1

    @property
    def ended(self) -> dict[tuple[Task, str], int]:
        """Jobs by task and `finished` or the reason of the failure."""
        with self._lock:
            return dict(self._ended)

    @property
    def durations(self) -> dict[Task, Durations]:
        with self._lock:
            return {
                task: Durations(list(durations.counts), durations.total_seconds)
                for task, durations in self._durations.items()
            }

    @property
    def unexpected_errors(self) -> int:
        with self._lock:
            return self._unexpected_errors
