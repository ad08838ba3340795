"""An engine with a limit: a document's time, and the worker's wish to stop.

Celery's time limits are enforced by killing pool processes, so a pool of threads ignores them
(celery/concurrency/thread.py drops `timeout`). And a call into a network cannot be interrupted:
the document stops waiting for it, and what comes later is thrown away.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from models.errors import NotemillError
from worker.engine import Engine, Reply, Request
from worker.stopping import Stopping


class TimedOutError(NotemillError):
    """The document's time is over."""


class StoppedError(NotemillError):
    """The worker stops and lets go of the document."""


class LimitedEngine:
    """The engine as one document sees it."""

    def __init__(self, engine: Engine, *, seconds: float, stopping: Stopping) -> None:
        self._engine = engine
        self._deadline = time.monotonic() + seconds
        self._stopping = stopping

    @property
    def context_tokens(self) -> int:
        return self._engine.context_tokens

    def count_tokens(self, text: str) -> int:
        return self._engine.count_tokens(text)

    def answer(self, requests: Sequence[Request], *, is_urgent: bool = False) -> list[Reply]:
        """As Engine.answer. Raises TimedOutError or StoppedError, before the answer or instead of it."""
        reply: Future[list[Reply]] = Future()
        if not self._stopping.is_now and self._seconds_left > 0:
            asked = (requests, is_urgent, reply)
            threading.Thread(target=self._ask, args=asked, name="asking", daemon=True).start()
        either: list[Future[Any]] = [reply, self._stopping.now]
        wait(either, self._seconds_left, FIRST_COMPLETED)
        if reply.done():
            return reply.result()
        if self._stopping.is_now:
            raise StoppedError("the worker stops")
        raise TimedOutError("the document's time is over")

    @property
    def _seconds_left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def _ask(self, requests: Sequence[Request], is_urgent: bool, reply: Future[list[Reply]]) -> None:
        try:
            reply.set_result(self._engine.answer(requests, is_urgent=is_urgent))
        except BaseException as error:  # noqa: BLE001  it is raised in the thread that waits
            reply.set_exception(error)
