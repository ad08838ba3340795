"""Usage accounting: at each heartbeat adds the usage since the last one to the runs of the jobs in progress.

A killed worker loses the usage since its last heartbeat, some seconds; it loses no answer.
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
    """Stores what the meter has counted; safe to share between threads."""

    def __init__(self, meter: UsageMeter, store: Store) -> None:
        self._meter, self._store = meter, store
        self._lock = threading.Lock()
        self._in_progress: set[int] = set()
        self._recent_job_ids = array("q")
        """Ids of jobs processed since usage was last stored, some twice. An array, not a set: a growing set
        allocates four times its size, in the memory arena of each thread."""
        self._stored_usage = Usage()

    @contextmanager
    def attribute_to(self, jobs: Sequence[Job]) -> Iterator[None]:
        """Attributes the usage during the block to these jobs, and to the others in progress."""
        ids = {job.id for job in jobs}
        with self._lock:
            self._in_progress |= ids
            self._recent_job_ids.extend(ids)
        try:
            yield
        finally:
            with self._lock:
                self._in_progress -= ids

    def store_usage(self) -> None:
        """Adds the usage since the last call to the runs of the jobs in progress since then.

        Call it from one thread at a time. What the database refuses goes with the next call.
        """
        usage = self._meter.usage
        with self._lock:
            jobs, self._recent_job_ids = self._recent_job_ids, array("q", self._in_progress)
        since = usage - self._stored_usage
        if not jobs:
            # The next run must not pay for idle time before it; it does pay for loading the weights.
            unattributed_seconds = since.idle_empty_seconds
            self._stored_usage = replace(
                self._stored_usage,
                idle_empty_seconds=self._stored_usage.idle_empty_seconds + unattributed_seconds,
            )
            return
        try:
            self._store.add_usage(since, sorted(set(jobs)))
        except BaseException:
            with self._lock:
                self._recent_job_ids.extend(jobs)
            raise
        self._stored_usage = usage
