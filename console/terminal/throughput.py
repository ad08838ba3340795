"""Throughput of jobs over the last minutes. Pure; does not read a clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

_WINDOW_SECONDS = 300.0
"""Window of the average; five minutes smooth notes of different length and still follow a worker that came or
went."""
_LONGEST_SILENCE_JOBS = 2
"""Jobs before which no rate is shown: it would be a guess."""


@dataclass(slots=True)
class Throughput:
    """Jobs done over the last minutes; `jobs_a_note` converts them into notes."""

    jobs_a_note: float
    _counts: deque[tuple[float, int]] = field(default_factory=deque)
    _last_end: float | None = None
    """When the last job ended."""

    def count(self, seconds: float, done: int) -> None:
        """Notes that `done` jobs were done at this second of a monotonic clock."""
        if self._counts and done != self._counts[-1][1]:
            self._last_end = seconds
        self._counts.append((seconds, done))
        while len(self._counts) > 2 and self._counts[1][0] <= seconds - _WINDOW_SECONDS:
            self._counts.popleft()

    @property
    def jobs_a_second(self) -> float | None:
        """The rate; None as long as it is unknown."""
        if not self._counts:
            return None
        (began, first), (now, last) = self._counts[0], self._counts[-1]
        if last - first < _LONGEST_SILENCE_JOBS or now <= began:
            return None
        return (last - first) / (now - began)

    @property
    def notes_an_hour(self) -> float | None:
        rate = self.jobs_a_second
        return None if rate is None else rate * 3600 / max(self.jobs_a_note, 1e-9)

    def seconds_left(self, jobs: int) -> float | None:
        """Seconds for so many jobs at the present rate; None where no job has ended for longer than that, as
        with a long note after short ones."""
        rate = self.jobs_a_second
        if not rate or self._last_end is None:
            return None
        silent_seconds = self._counts[-1][0] - self._last_end
        return jobs / rate if silent_seconds <= jobs / rate else None
