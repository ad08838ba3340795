"""What one worker process has from its start to its stop. Knows no Celery and no torch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from models.jobs import Serving
from models.settings import Settings
from models.store import Store
from worker.engine import Engine
from worker.stopping import Stopping


@dataclass(slots=True)
class Hands:
    """Counts the documents in hand."""

    _count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def are_empty(self) -> bool:
        return self._count == 0

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Inside the block one more document is in hand."""
        with self._lock:
            self._count += 1
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1


@dataclass(frozen=True, slots=True)
class Workplace:
    """The parts that every document of this process is worked on with."""

    name: str
    """`HOST:PID:START`: who holds a job, in the database."""
    settings: Settings
    serving: Serving
    engine: Engine
    store: Store
    stopping: Stopping
    hands: Hands = field(default_factory=Hands)
