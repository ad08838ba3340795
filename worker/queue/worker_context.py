"""Worker context: the parts that one worker process shares between its documents.

Does not import Celery or torch.
"""

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

_RECHECK_SECONDS = 0.2


@dataclass(slots=True)
class InFlightDocuments:
    """Counts the documents in progress, and lets a quarantined one run alone."""

    count: int = 0
    taken: int = 0
    """Documents taken since the start, including those for which no job was owed."""
    is_reserved: bool = False
    """True while a document waits to run alone, or does: no other document is taken."""
    _since: list[float] = field(default_factory=list)
    """When each document in progress was taken, by time.monotonic(), oldest first."""
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def is_empty(self) -> bool:
        return self.count == 0

    @property
    def oldest_started_at(self) -> float | None:
        """When the oldest document in progress was taken, by time.monotonic(); None without one."""
        with self._changed:
            return self._since[0] if self._since else None

    @contextmanager
    def hold(self, shutdown: ShutdownRequest, *, is_isolated: bool = False) -> Iterator[bool]:
        """Takes one document for the block, alone where `is_isolated`; waits until that is possible.

        Yields False, with no document taken, where a shutdown is requested meanwhile."""
        is_held, since = False, 0.0
        try:
            with self._changed:
                self.is_reserved |= is_isolated
                while self._is_blocked(is_isolated) and not shutdown.is_requested:
                    self._changed.wait(_RECHECK_SECONDS)
                is_held = not self._is_blocked(is_isolated)
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
                self.is_reserved &= not is_isolated
                self._changed.notify_all()

    def _is_blocked(self, is_isolated: bool) -> bool:
        return self.count > 0 if is_isolated else self.is_reserved


@dataclass(slots=True)
class UnexpectedErrorCount:
    """Counts exceptions since the last job that ended normally."""

    _count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self) -> int:
        """Adds one and returns the count."""
        with self._lock:
            self._count += 1
            return self._count

    def forget(self) -> None:
        with self._lock:
            self._count = 0


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """The parts that every document of this process is processed with."""

    name: str
    """`HOST:PID:START`: identifies in the database who holds a job."""
    settings: Settings
    serving: Serving
    engine: Engine
    store: Store
    shutdown: ShutdownRequest
    exit_as_broken: Callable[[], None]
    """Ends the process as a signal does, but with exit status 1."""
    meter: UsageMeter
    usage_accounting: UsageAccounting
    """Assigns the measured time to jobs."""
    patient_names_of: Callable[[int], tuple[str, ...]] = lambda _document_id: ()
    """The patient's names in a document's metadata; used only where notes are de-identified."""
    unexpected_errors: UnexpectedErrorCount = field(default_factory=UnexpectedErrorCount)
    in_flight: InFlightDocuments = field(default_factory=InFlightDocuments)
    outcome_counters: OutcomeCounters = field(default_factory=OutcomeCounters)
    tracing: DocumentTraces = field(default_factory=DocumentTraces)
    config: TaskConfig = field(init=False)
    """Read once from the adapter's files."""
    group_commit: GroupCommit = field(init=False)
    """Claims and recordings of all threads, in shared transactions."""
    claim_quarantined: Callable[[int], Work | None] = field(init=False)
    """Claims quarantined jobs: claimed before, and neither finished nor failed."""

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
            self,
            "group_commit",
            GroupCommit(claim=partial(claim, is_quarantined=False), record=self.store.record),
        )
        object.__setattr__(self, "claim_quarantined", lambda id_: claim([id_], is_quarantined=True)[0])
