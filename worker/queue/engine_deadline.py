"""An engine with a limit: a document's time with it, and the worker's wish to stop.

Celery's time limits are enforced by killing pool processes, so a pool of threads ignores them
(celery/concurrency/thread.py drops `timeout`). And a call into a network cannot be interrupted:
the document stops waiting for it, and what comes later is thrown away.
"""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from models.errors import NotemillError
from worker.engine.api import Engine, Reply, Request
from worker.queue.shutdown import ShutdownRequest

_LONGEST_START_SECONDS = 30.0
"""Of a thread, on a machine that others keep busy."""


class TimedOutError(NotemillError):
    """The document's time is over."""


class NoThreadError(NotemillError):
    """A thread was begun and does not run: the process is out of memory."""


class StoppedError(NotemillError):
    """The worker stops and lets go of the document."""


class DeadlineEngine:
    """The engine as one document sees it.

    Its time is what it waits for the engine: a database that was away over a record must fail nobody."""

    def __init__(self, engine: Engine, *, seconds: float, shutdown: ShutdownRequest) -> None:
        self._engine = engine
        self._seconds_left = seconds
        self._shutdown = shutdown

    @property
    def context_tokens(self) -> int:
        return self._engine.context_tokens

    def count_tokens(self, text: str) -> int:
        return self._engine.count_tokens(text)

    def answer(self, requests: Sequence[Request], *, is_urgent: bool = False) -> list[Reply]:
        """As Engine.answer. Raises TimedOutError or StoppedError, before the answer or instead of it, and
        NoThreadError."""
        reply: Future[list[Reply]] = Future()
        began = time.monotonic()
        if not self._shutdown.is_immediate and self._seconds_left > 0:
            self._begin(requests, is_urgent, reply)
            either: list[Future[Any]] = [reply, self._shutdown.now]
            wait(either, self._seconds_left, FIRST_COMPLETED)
        self._seconds_left -= time.monotonic() - began
        if reply.done():
            return reply.result()
        if self._shutdown.is_immediate:
            raise StoppedError("the worker stops")
        raise TimedOutError("the document's time is over")

    def _begin(self, requests: Sequence[Request], is_urgent: bool, reply: Future[list[Reply]]) -> None:
        # Not threading.Thread: its start waits without end for a thread that died of a MemoryError in its
        # first lines (CPython 3.11), and a worker that waits so held its documents and kept their leases.
        runs = threading.Event()
        _thread.start_new_thread(self._ask, (runs, requests, is_urgent, reply))
        if not runs.wait(_LONGEST_START_SECONDS):
            raise NoThreadError("no memory for a thread")

    def _ask(
        self, runs: threading.Event, requests: Sequence[Request], is_urgent: bool, reply: Future[list[Reply]]
    ) -> None:
        runs.set()
        try:
            reply.set_result(self._engine.answer(requests, is_urgent=is_urgent))
        except BaseException as error:  # noqa: BLE001  it is raised in the thread that waits
            reply.set_exception(error)
