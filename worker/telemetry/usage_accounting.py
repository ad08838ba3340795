"""Which jobs a worker's time was for: at each heartbeat what was spent since goes to their runs.

A worker that is killed takes the figures since its last heartbeat along, some seconds; no answer.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from models.jobs import Job
from models.store.store import Store
from models.usage import Usage
from worker.telemetry.usage_meter import UsageMeter


class UsageAccounting:
    """Hands over to the store what the meter has counted; safe to share between threads."""

    def __init__(self, meter: UsageMeter, store: Store) -> None:
        self._meter, self._store = meter, store
        self._lock = threading.Lock()
        self._in_hand: set[int] = set()
        self._worked_on = array("q")
        """Since what was last handed over, some perhaps twice. Not a set: threads by turns grow this by
        little, where a set that grows asks for four times its size, in the memory of each thread."""
        self._handed_over = Usage()

    @contextmanager
    def working_on(self, jobs: Sequence[Job]) -> Iterator[None]:
        """Time spent during the block is for these jobs, and for the others in hand."""
        ids = {job.id for job in jobs}
        with self._lock:
            self._in_hand |= ids
            self._worked_on.extend(ids)
        try:
            yield
        finally:
            with self._lock:
                self._in_hand -= ids

    def hand_over(self) -> None:
        """Adds what was spent since the last time to the runs whose jobs it was for.

        Not in the hands of two threads at once. What the database did not take goes with the next call.
        """
        spent = self._meter.spent
        with self._lock:
            jobs, self._worked_on = self._worked_on, array("q", self._in_hand)
        since = spent - self._handed_over
        if not jobs:
            # Nobody's: the next run must not pay for a worker that had nothing to do. The load is its own.
            nobodys = since.idle_empty_seconds
            self._handed_over = replace(
                self._handed_over, idle_empty_seconds=self._handed_over.idle_empty_seconds + nobodys
            )
            return
        try:
            self._store.add_usage(since, sorted(set(jobs)))
        except BaseException:
            with self._lock:
                self._worked_on.extend(jobs)
            raise
        self._handed_over = spent
