"""A worker that stopped consuming says so, and ends.

After a lost connection to Redis a Celery consumer may go on as if nothing were there (celery issues 8030,
8091, 8384, 9054, 10205). So what Redis has is compared with what was taken: messages wait, hands are free,
and yet nothing is taken for a while; or a document is in hand long after its time. None of that can be
mended from inside for certain: the process ends, whoever holds it starts another, and SQL knows what is owed.
Knows Redis and SQL only by what it is given.
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

THREADS = frozenset({"heartbeat", "ledger", "quarantine", "sweeper", "urgent"})
"""Of the worker's own threads those without which it is of no use."""
_TABLES_SECONDS = 30.0
_OVERTIME_SECONDS = 60.0
"""Beyond a document's time limit, for what is done before and after the engine is asked."""


@dataclass(slots=True)
class Consumption:
    """Judges from what it is told whether messages are taken. Pure, but for the clock it is given."""

    num_threads: int
    stalled_seconds: float
    clock: Callable[[], float] = time.monotonic
    _taken: int = -1
    _seen_at: float = 0.0

    def is_stalled(self, *, waiting: int, in_flight: InFlightDocuments) -> bool:
        """`waiting`: messages in Redis now. The time begins anew with each document taken."""
        has_room = in_flight.count < self.num_threads and not in_flight.is_reserved
        if waiting == 0 or not has_room or in_flight.taken != self._taken:
            self._taken, self._seen_at = in_flight.taken, self.clock()
        return self.clock() - self._seen_at > self.stalled_seconds


@dataclass(slots=True)
class Watchdog:
    """A thread that looks every two seconds and writes down the pulse."""

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
    _are_there: tuple[bool, bool] = (True, True)
    _database_away_at: float = 0.0

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
        """From now on the worker serves. `count_waiting` asks Redis and raises where it is away;
        `check_tables` raises where the tables are not this notemill's; `end` ends the process."""
        self._context, self._count_waiting = context, count_waiting
        self._check_tables, self._end = check_tables, end
        self._state = "serving"

    def forget(self) -> None:
        """The worker has ended in order."""
        self._is_over.set()
        health_file.remove(self.settings, self.name)

    def _watch(self) -> None:
        while True:
            try:
                self._look()
            except Exception as error:  # noqa: BLE001  a look may fail; a watchdog that ends is none
                log.warning("the watchdog's look failed: %s", type(error).__name__)
            if self._is_over.wait(health_file.WRITE_INTERVAL_SECONDS):
                return

    def _look(self) -> None:
        if self._context is not None and self._context.shutdown.is_requested:
            self._state = "stopping" if self._state == "serving" else self._state
        if self._state == "serving":
            why = self._what_is_wrong()
            if why:
                self._state = "stalled"
                log.critical("%s: the worker ends, another can take over", why)
                assert self._end is not None
                self._end()
        health_file.write(self.settings, self._pulse())

    def _what_is_wrong(self) -> str:
        """'' where nothing is."""
        assert self._context is not None
        gone = THREADS - {thread.name for thread in threading.enumerate()}
        if gone:
            return f"a thread has ended ({', '.join(sorted(gone))})"
        waiting = self._waiting()
        if self._consumption.is_stalled(waiting=waiting, in_flight=self._context.in_flight):
            return f"messages wait and none was taken for {self.settings.stalled_seconds:g} s"
        return self._what_is_wrong_with_tables() or self._what_is_stuck()

    def _what_is_stuck(self) -> str:
        """A document ends with its time limit; one that is in hand still while the database answers, hangs:
        as long as this process lives its lease is renewed and no other worker may have it."""
        assert self._context is not None
        since = self._context.in_flight.oldest_started_at
        longest = self.settings.time_limit_seconds + _OVERTIME_SECONDS
        if since is None or time.monotonic() - max(since, self._database_away_at) < longest:
            return ""
        return f"a document is in hand for more than {longest:g} s"

    def _waiting(self) -> int:
        """0 where Redis does not answer: then nobody can take anything."""
        assert self._count_waiting is not None
        try:
            waiting = self._count_waiting()
        except Exception:  # noqa: BLE001  Redis is away, which is not this worker's fault
            self._are_there = (self._are_there[0], False)
            return 0
        self._are_there = (self._are_there[0], True)
        return waiting

    def _what_is_wrong_with_tables(self) -> str:
        """A newer notemill may have altered them while this one runs: it leaves the jobs to newer workers."""
        assert self._check_tables is not None
        if time.monotonic() - self._tables_at < _TABLES_SECONDS:
            return ""
        self._tables_at = time.monotonic()
        try:
            self._check_tables()
        except SchemaError as error:
            return str(error)
        except DatabaseUnavailableError:
            self._are_there = (False, self._are_there[1])
            self._database_away_at = time.monotonic()
            return ""
        self._are_there = (True, self._are_there[1])
        return ""

    def _pulse(self) -> WorkerHealth:
        in_flight = self._context.in_flight if self._context is not None else InFlightDocuments()
        is_database_there, is_redis_there = self._are_there
        return WorkerHealth(
            name=self.name,
            state=self._state,
            in_hand=in_flight.count,
            taken=in_flight.taken,
            is_database_there=is_database_there,
            is_redis_there=is_redis_there,
        )
