"""Engine deadline: limits the time that a document waits for the engine, and ends the wait at shutdown.

Celery enforces time limits by killing pool processes, so a pool of threads ignores them
(celery/concurrency/thread.py drops `timeout`). A call into a network cannot be interrupted either: the
document stops waiting, and a later reply is discarded.
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
"""Longest time for a thread to start, on a busy machine."""


class TimedOutError(NotemillError):
    """The document has reached its time limit."""


class NoThreadError(NotemillError):
    """A thread was started and does not run: the process is out of memory."""


class StoppedError(NotemillError):
    """The worker stops and abandons the document."""


class DeadlineEngine:
    """The engine with the remaining time of one document.

    Only time spent waiting for the engine counts, so that an unavailable database fails no document."""

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
        """Answers like Engine.answer. Raises TimedOutError or StoppedError instead of a late answer, and
        NoThreadError where no thread starts."""
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
        raise TimedOutError("the document has reached its time limit")

    def _begin(self, requests: Sequence[Request], is_urgent: bool, reply: Future[list[Reply]]) -> None:
        # Not threading.Thread: its start() waits forever for a thread that died of a MemoryError in its first
        # lines (CPython 3.11), and the worker would keep its documents and renew their leases.
        runs = threading.Event()
        _thread.start_new_thread(self._answer, (runs, requests, is_urgent, reply))
        if not runs.wait(_LONGEST_START_SECONDS):
            raise NoThreadError("no memory for a thread")

    def _answer(
        self, runs: threading.Event, requests: Sequence[Request], is_urgent: bool, reply: Future[list[Reply]]
    ) -> None:
        runs.set()
        try:
            reply.set_result(self._engine.answer(requests, is_urgent=is_urgent))
        except BaseException as error:  # noqa: BLE001  raised in the waiting thread
            reply.set_exception(error)
