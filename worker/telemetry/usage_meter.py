"""Where a worker's time goes: any thread adds, whoever wants to know takes the sums. Knows no torch.

The engine's thread has a Stopwatch, under which no moment is lost or counted twice. Threads of notes
use `timing`. What the engine does not do is divided by whether there was a note in hand.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from models.usage import USAGE_FIELDS, Usage

Account = Literal[
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
"""Without a note in hand. A message that waits is taken at once, so after a short gap there was one, or
nearly, and the engine waited for us; in a longer gap there was nothing to do."""


class UsageMeter:
    """Sums since its making; safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sums: dict[str, Any] = {name: getattr(Usage(), name) for name in USAGE_FIELDS}
        self._own = threading.local()
        self._notes_in_hand = 0
        self._without_note_since = clock()
        self._idle_since: float | None = None
        self._idle_in_gap = 0.0
        """Seconds of the engine in a gap of which it is not known yet whether it is a short one."""

    @property
    def spent(self) -> Usage:
        """All until now, the idle time that still goes on included."""
        with self._lock:
            self._settle()
            return Usage(**self._sums)

    def add(self, **amounts: float) -> None:
        """Fields of Spent, e.g. `add(decoded_tokens=3)`."""
        with self._lock:
            for name, amount in amounts.items():
                self._sums[name] += amount

    @contextmanager
    def timing(self, account: Account) -> Iterator[None]:
        """The seconds in the block; those in a block inside it, of the same thread, go to that one only."""
        inside_before = getattr(self._own, "inside", 0.0)
        self._own.inside, began = 0.0, self._clock()
        try:
            yield
        finally:
            seconds = self._clock() - began
            self.add(**{f"{account}_seconds": seconds - self._own.inside})
            self._own.inside = inside_before + seconds

    @contextmanager
    def note_in_hand(self) -> Iterator[None]:
        """Inside the block there is something to do for the engine, or will be."""
        with self._lock:
            self._settle()
            if not self._notes_in_hand:
                self._sums["idle_queued_seconds"] += self._idle_in_gap
                self._idle_in_gap = 0.0
            self._notes_in_hand += 1
        try:
            yield
        finally:
            with self._lock:
                self._settle()
                self._notes_in_hand -= 1
                self._without_note_since = self._clock()

    @contextmanager
    def idle(self) -> Iterator[None]:
        """In the block the engine's thread waits for requests."""
        with self._lock:
            self._idle_since = self._clock()
        try:
            yield
        finally:
            with self._lock:
                self._settle()
                self._idle_since = None

    def stopwatch(self) -> Stopwatch:
        """For the engine's thread."""
        return Stopwatch(self, self._clock)

    def _settle(self) -> None:
        """Puts the idle time until now where it belongs, as far as that is known."""
        now = self._clock()
        if self._idle_since is not None:
            seconds, self._idle_since = now - self._idle_since, now
            if self._notes_in_hand:
                self._sums["idle_queued_seconds"] += seconds
            else:
                self._idle_in_gap += seconds
        if not self._notes_in_hand and now - self._without_note_since > SHORT_GAP_SECONDS:
            self._sums["idle_empty_seconds"] += self._idle_in_gap
            self._idle_in_gap = 0.0


class Stopwatch:
    """Every moment of one thread, from lap to lap."""

    def __init__(self, meter: UsageMeter, clock: Callable[[], float]) -> None:
        self._meter, self._clock = meter, clock
        self._last = clock()

    def lap(self, account: Account, **counts: float) -> None:
        """What passed since the last lap was for this; `counts` are added along."""
        self._meter.add(**{f"{account}_seconds": self._seconds()}, **counts)

    def step(self, *, prefill_tokens: int, decode_tokens: int, rows: int) -> None:
        """What passed since the last lap was one pass of the network over so many prompt tokens and so
        many tokens of answers; the time is divided by them."""
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
        """In the block the thread waits for requests; what passed before it was scheduling."""
        self.lap("schedule")
        with self._meter.idle():
            yield
        self._last = self._clock()

    def _seconds(self) -> float:
        now = self._clock()
        seconds, self._last = now - self._last, now
        return seconds
