"""Usage meter: seconds by activity and tokens by kind of one worker process. Does not import torch.

The engine thread uses a Stopwatch, which counts every moment exactly once; document threads use `timing`.
Idle time of the engine is split by whether a note was in progress.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from models.usage import USAGE_FIELDS, Usage

Activity = Literal[
    "load",
    "prefill",
    "decode",
    "constrain",
    "schedule",
    "idle_queued",
    "idle_empty",
    "read",
    "compile",
    "wait",
    "ground",
    "store",
]

SHORT_GAP_SECONDS = 1.0
"""Longest gap without a note in progress that counts as waiting for work that exists. A waiting message is
taken at once, so after a short gap the engine waited for us; in a longer one there was nothing to do."""


class UsageMeter:
    """Sums since the start; safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sums: dict[str, Any] = {name: getattr(Usage(), name) for name in USAGE_FIELDS}
        self._own = threading.local()
        self._notes_in_progress = 0
        self._without_note_since = clock()
        self._idle_since: float | None = None
        self._idle_in_gap = 0.0
        """Idle seconds of the engine in the present gap, which may still turn out short or long."""

    @property
    def usage(self) -> Usage:
        """Usage until now, including the idle time in progress."""
        with self._lock:
            self._settle()
            return Usage(**self._sums)

    def add(self, **amounts: float) -> None:
        """Adds to fields of Usage, as in `add(decoded_tokens=3)`."""
        with self._lock:
            for name, amount in amounts.items():
                self._sums[name] += amount

    @contextmanager
    def timing(self, activity: Activity) -> Iterator[None]:
        """Counts the seconds of the block for `account`; a nested block of the same thread counts for itself
        only."""
        inside_before = getattr(self._own, "inside", 0.0)
        self._own.inside, began = 0.0, self._clock()
        try:
            yield
        finally:
            seconds = self._clock() - began
            self.add(**{f"{activity}_seconds": seconds - self._own.inside})
            self._own.inside = inside_before + seconds

    @contextmanager
    def note_in_progress(self) -> Iterator[None]:
        """Marks a note in progress: inside the block the engine has work, or will have."""
        with self._lock:
            self._settle()
            if not self._notes_in_progress:
                self._sums["idle_queued_seconds"] += self._idle_in_gap
                self._idle_in_gap = 0.0
            self._notes_in_progress += 1
        try:
            yield
        finally:
            with self._lock:
                self._settle()
                self._notes_in_progress -= 1
                self._without_note_since = self._clock()

    @contextmanager
    def idle(self) -> Iterator[None]:
        """Marks that the engine thread waits for requests inside the block."""
        with self._lock:
            self._idle_since = self._clock()
        try:
            yield
        finally:
            with self._lock:
                self._settle()
                self._idle_since = None

    def stopwatch(self) -> Stopwatch:
        """A stopwatch for the engine thread."""
        return Stopwatch(self, self._clock)

    def _settle(self) -> None:
        """Assigns idle time until now to its activity, as far as that is known."""
        now = self._clock()
        if self._idle_since is not None:
            seconds, self._idle_since = now - self._idle_since, now
            if self._notes_in_progress:
                self._sums["idle_queued_seconds"] += seconds
            else:
                self._idle_in_gap += seconds
        if not self._notes_in_progress and now - self._without_note_since > SHORT_GAP_SECONDS:
            self._sums["idle_empty_seconds"] += self._idle_in_gap
            self._idle_in_gap = 0.0


class Stopwatch:
    """Measures one thread without gaps, from lap to lap."""

    def __init__(self, meter: UsageMeter, clock: Callable[[], float]) -> None:
        self._meter, self._clock = meter, clock
        self._last = clock()

    def lap(self, activity: Activity, **counts: float) -> None:
        """Counts the time since the last lap for `activity`, and adds `counts`."""
        self._meter.add(**{f"{activity}_seconds": self._seconds()}, **counts)

    def step(self, *, prefill_tokens: int, decode_tokens: int, rows: int) -> None:
        """Counts the time since the last lap as one forward pass; divides it between prefill and decode by
        tokens."""
        seconds, tokens = self._seconds(), prefill_tokens + decode_tokens
        decoding = seconds * decode_tokens / tokens if tokens else 0.0
        self._meter.add(
            prefill_seconds=seconds - decoding,
            decode_seconds=decoding,
            prefill_tokens=prefill_tokens,
            steps=1,
            rows_stepped=rows,
        )

    @contextmanager
    def idle(self) -> Iterator[None]:
        """Marks waiting inside the block; the time since the last lap counts as scheduling."""
        self.lap("schedule")
        with self._meter.idle():
            yield
        self._last = self._clock()

    def _seconds(self) -> float:
        now = self._clock()
        seconds, self._last = now - self._last, now
        return seconds
