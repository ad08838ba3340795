"""What one worker process has from its start to its stop. Knows no Celery and no torch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from models.jobs import Serving, Work
from models.settings import Settings
from models.store.store import Store
from worker.engine.api import Engine
from worker.queue.document_tracing import DocumentTraces
from worker.queue.group_commit import GroupCommit
from worker.queue.shutdown import ShutdownRequest
from worker.telemetry.outcome_counters import OutcomeCounters
from worker.telemetry.usage_accounting import UsageAccounting
from worker.telemetry.usage_meter import UsageMeter
from worker.weights.task_config import TaskConfig, task_config

_LOOK_UP_SECONDS = 0.2


@dataclass(slots=True)
class InFlightDocuments:
    """Counts the documents in hand, and sees to it that one can be alone there."""

    count: int = 0
    taken: int = 0
    """Since the start; a message that finds nothing owed counts too."""
    are_kept_free: bool = False
    """One document waits to be alone, or is: no other is taken in hand."""
    _since: list[float] = field(default_factory=list)
    """When each of those in hand was taken, by time.monotonic(), the oldest first."""
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def are_empty(self) -> bool:
        return self.count == 0

    @property
    def oldest_since(self) -> float | None:
        """When the document was taken that is in hand for the longest time, by time.monotonic()."""
        with self._changed:
            return self._since[0] if self._since else None

    @contextmanager
    def holding(self, stopping: ShutdownRequest, *, is_alone: bool = False) -> Iterator[bool]:
        """Inside the block one more document is in hand, or no other; waits until that is possible.

        False, and nothing is in hand, where the worker is asked to stop meanwhile."""
        is_held, since = False, 0.0
        try:
            with self._changed:
                self.are_kept_free |= is_alone
                while self._is_blocked(is_alone) and not stopping.is_asked:
                    self._changed.wait(_LOOK_UP_SECONDS)
                is_held = not self._is_blocked(is_alone)
                self.count += is_held
                self.taken += is_held
                since = time.monotonic()
                self._since += [since] * is_held
            yield is_held
        finally:
            with self._changed:
                self.count -= is_held
                if is_held:
                    self._since.remove(since)
                self.are_kept_free &= not is_alone
                self._changed.notify_all()

    def _is_blocked(self, is_alone: bool) -> bool:
        return self.count > 0 if is_alone else self.are_kept_free


@dataclass(slots=True)
class UnexpectedErrorCount:
    """Counts exceptions since the last job that ended in order."""

    _count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self) -> int:
        """One more; returns how many."""
        with self._lock:
            self._count += 1
            return self._count

    def forget(self) -> None:
        with self._lock:
            self._count = 0


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """The parts that every document of this process is worked on with."""

    name: str
    """`HOST:PID:START`: who holds a job, in the database."""
    settings: Settings
    serving: Serving
    engine: Engine
    store: Store
    stopping: ShutdownRequest
    give_up: Callable[[], None]
    """Ends the process as after a signal, but with an exit status that says it is broken."""
    meter: UsageMeter
    accounts: UsageAccounting
    """Whose jobs the meter's time is for."""
    names_of: Callable[[int], tuple[str, ...]] = lambda _document_id: ()
    """What a document's metadata calls its patient; asked only where notes are read under a disguise."""
    surprises: UnexpectedErrorCount = field(default_factory=UnexpectedErrorCount)
    hands: InFlightDocuments = field(default_factory=InFlightDocuments)
    tally: OutcomeCounters = field(default_factory=OutcomeCounters)
    tracing: DocumentTraces = field(default_factory=DocumentTraces)
    config: TaskConfig = field(init=False)
    """Read from the adapter's files once, not for each document."""
    ledger: GroupCommit = field(init=False)
    """Claims and records go through here, those of all threads together."""
    claim_suspect: Callable[[int], Work | None] = field(init=False)
    """What `ledger.claim` leaves: jobs that were claimed before and came to no end."""

    def __post_init__(self) -> None:
        claim = partial(
            self.store.claim,
            worker=self.name,
            serving_id=self.serving.id,
            lease_seconds=self.settings.lease_seconds,
            max_kills=self.settings.max_kills,
        )
        object.__setattr__(self, "config", task_config(self.settings))
        object.__setattr__(
            self, "ledger", GroupCommit(claim=partial(claim, is_suspect=False), record=self.store.record)
        )
        object.__setattr__(self, "claim_suspect", lambda id_: claim([id_], is_suspect=True)[0])
