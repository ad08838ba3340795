"""Shutdown request: the first signal lets documents in progress finish, a second one ends them now."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class ShutdownRequest:
    """State of a shutdown: requested (take no more documents), then immediate (abandon those in progress)."""

    def __init__(self) -> None:
        self.now: Future[None] = Future()
        """Done when documents in progress must be abandoned; a future, so that a wait can end on it."""
        self._asked_at: float | None = None

    @property
    def is_requested(self) -> bool:
        return self._asked_at is not None

    @property
    def is_immediate(self) -> bool:
        return self.now.done()

    @property
    def seconds_since_request(self) -> float:
        return 0.0 if self._asked_at is None else time.monotonic() - self._asked_at

    def request(self) -> None:
        """Requests a shutdown; the second call abandons the documents in progress."""
        if self._asked_at is None:
            self._asked_at = time.monotonic()
        else:
            self.expedite()

    def expedite(self) -> None:
        """Abandons the documents in progress."""
        self._asked_at = self._asked_at or time.monotonic()
        if not self.now.done():
            self.now.set_result(None)


def request_shutdown_on_signals(shutdown: ShutdownRequest, on_first: Callable[[], None]) -> None:
    """Makes SIGTERM, SIGINT and SIGQUIT request a shutdown; `on_first` ends the message loop.

    The handlers of Celery ignore a second SIGTERM, and on a second SIGINT try to kill pool
    processes, which a pool of threads does not have.
    """

    def asked(_number: int, _frame: FrameType | None) -> None:
        shutdown.request()
        on_first()

    for number in SIGNALS:
        signal.signal(number, asked)


def exit_on_signals() -> None:
    """Makes a signal end the process at once, as long as no document is in progress."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(0)

    for number in SIGNALS:
        signal.signal(number, leave)
