"""Watchdog: ends a worker process that no longer consumes messages, and writes its health file.

After a lost connection a Celery consumer may go on without receiving anything (celery issues 8030, 8091,
8384, 9054, 10205). The watchdog ends the process where messages wait, threads are free, and nothing is taken;
or where a document is in progress long after its time limit. The supervisor starts another process, and SQL
knows what is owed. Reaches Redis and SQL only through the functions it is given.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from models import health_file
from models.health_file import WorkerHealth, WorkerState
from models.migrations.schema_version import SchemaError
from models.schema.database import DatabaseUnavailableError
from models.settings import Settings
from worker.queue.worker_context import InFlightDocuments, WorkerContext

log = logging.getLogger(__name__)

THREADS = frozenset({"heartbeat", "group_commit", "quarantine", "sweeper", "urgent"})
"""Names of the threads without which a worker is of no use."""
_TABLES_SECONDS = 30.0
_OVERTIME_SECONDS = 60.0
"""Allowance beyond a document's time limit, for work before and after the engine."""


@dataclass(slots=True)
class Consumption:
    """Decides whether messages are being taken. Pure, apart from the given clock."""

    num_threads: int
    stalled_seconds: float
    clock: Callable[[], float] = time.monotonic
    _taken: int = -1
    _seen_at: float = 0.0

    def is_stalled(self, *, waiting: int, in_flight: InFlightDocuments) -> bool:
        """`waiting`: messages in Redis now. Each document taken restarts the time."""
        has_room = in_flight.count < self.num_threads and not in_flight.is_reserved
        if waiting == 0 or not has_room or in_flight.taken != self._taken:
            self._taken, self._seen_at = in_flight.taken, self.clock()
        return self.clock() - self._seen_at > self.stalled_seconds


@dataclass(slots=True)
class Watchdog:
    """A thread that checks the worker every two seconds and writes the health file."""

    settings: Settings
    name: str
    _state: WorkerState = "loading"
    _context: WorkerContext | None = None
    _count_waiting: Callable[[], int] | None = None
    _check_tables: Callable[[], None] | None = None
    _end: Callable[[], None] | None = None
    _consumption: Consumption = field(init=False)
    _is_over: threading.Event = field(default_factory=threading.Event)
    _tables_at: float = 0.0
    _is_available: tuple[bool, bool] = (True, True)
    _database_unavailable_at: float = 0.0

    def __post_init__(self) -> None:
        self._consumption = Consumption(self.settings.worker_threads, self.settings.stalled_seconds)
        health_file.remove_stale(self.settings)
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def guard(
        self,
        context: WorkerContext,
        *,
        count_waiting: Callable[[], int],
        check_tables: Callable[[], None],
        end: Callable[[], None],
    ) -> None:
        """Begins to guard a serving worker. `count_waiting` asks Redis and raises where it is unavailable;
        `check_tables` raises where the schema is not of this version; `end` ends the process."""
        self._context, self._count_waiting = context, count_waiting
        self._check_tables, self._end = check_tables, end
        self._state = "serving"

    def forget(self) -> None:
        """Stops, after the worker has ended normally."""
        self._is_over.set()
        health_file.remove(self.settings, self.name)

    def _watch(self) -> None:
        while True:
            try:
                self._check()
            except Exception as error:  # noqa: BLE001  one check may fail; the watchdog goes on
                log.warning("the check of the watchdog failed: %s", type(error).__name__)
            if self._is_over.wait(health_file.WRITE_INTERVAL_SECONDS):
                return

    def _check(self) -> None:
        if self._context is not None and self._context.shutdown.is_requested:
            self._state = "stopping" if self._state == "serving" else self._state
        if self._state == "serving":
            why = self._problem()
            if why:
                self._state = "stalled"
                log.critical("%s: the worker ends, another one can take over", why)
                assert self._end is not None
                self._end()
        health_file.write(self.settings, self._health())

    def _problem(self) -> str:
        """The problem in words; '' where there is none."""
        assert self._context is not None
        ended_threads = THREADS - {thread.name for thread in threading.enumerate()}
        if ended_threads:
            return f"a thread has ended ({', '.join(sorted(ended_threads))})"
        waiting = self._waiting()
        if self._consumption.is_stalled(waiting=waiting, in_flight=self._context.in_flight):
            return f"messages wait and none was taken for {self.settings.stalled_seconds:g} s"
        return self._schema_problem() or self._stuck_document()

    def _stuck_document(self) -> str:
        """A document in progress beyond its time limit, while the database answers, hangs: as long as this
        process lives its lease is renewed, and no other worker can claim it."""
        assert self._context is not None
        since = self._context.in_flight.oldest_started_at
        longest = self.settings.time_limit_seconds + _OVERTIME_SECONDS
        if since is None or time.monotonic() - max(since, self._database_unavailable_at) < longest:
            return ""
        return f"a document is in progress for more than {longest:g} s"

    def _waiting(self) -> int:
        """Messages that wait; 0 where Redis does not answer, since then nobody can take any."""
        assert self._count_waiting is not None
        try:
            waiting = self._count_waiting()
        except Exception:  # noqa: BLE001  Redis is unavailable
            self._is_available = (self._is_available[0], False)
            return 0
        self._is_available = (self._is_available[0], True)
        return waiting

    def _schema_problem(self) -> str:
        """A newer version may have altered the tables meanwhile; then jobs are left to newer workers."""
        assert self._check_tables is not None
        if time.monotonic() - self._tables_at < _TABLES_SECONDS:
            return ""
        self._tables_at = time.monotonic()
        try:
            self._check_tables()
        except SchemaError as error:
            return str(error)
        except DatabaseUnavailableError:
            self._is_available = (False, self._is_available[1])
            self._database_unavailable_at = time.monotonic()
            return ""
        self._is_available = (True, self._is_available[1])
        return ""

    def _health(self) -> WorkerHealth:
        in_flight = self._context.in_flight if self._context is not None else InFlightDocuments()
        is_database_there, is_redis_there = self._is_available
        return WorkerHealth(
            name=self.name,
            state=self._state,
            in_hand=in_flight.count,
            taken=in_flight.taken,
            is_database_there=is_database_there,
            is_redis_there=is_redis_there,
        )
