"""How a worker is asked to stop: once, finish what is in hand; twice, now. Knows only signals."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class ShutdownRequest:
    """Whether to take no more documents, and whether to let go of those in hand."""

    def __init__(self) -> None:
        self.now: Future[None] = Future()
        """Done when the documents in hand shall be let go; a future, so that a wait can end on it."""
        self._asked_at: float | None = None

    @property
    def is_asked(self) -> bool:
        return self._asked_at is not None

    @property
    def is_now(self) -> bool:
        return self.now.done()

    @property
    def seconds_since_asked(self) -> float:
        return 0.0 if self._asked_at is None else time.monotonic() - self._asked_at

    def ask(self) -> None:
        """Take no more documents; asked again: let go of those in hand."""
        if self._asked_at is None:
            self._asked_at = time.monotonic()
        else:
            self.hurry()

    def hurry(self) -> None:
        """Let go of the documents in hand."""
        self._asked_at = self._asked_at or time.monotonic()
        if not self.now.done():
            self.now.set_result(None)


def stop_on_signals(stopping: ShutdownRequest, on_first: Callable[[], None]) -> None:
    """SIGTERM, SIGINT and SIGQUIT ask to stop; `on_first` tells the message loop.

    Celery's own handlers ignore a second SIGTERM, and on a second SIGINT try to kill pool
    processes, which a pool of threads does not have.
    """

    def asked(_number: int, _frame: FrameType | None) -> None:
        stopping.ask()
        on_first()

    for number in SIGNALS:
        signal.signal(number, asked)


def leave_on_signals() -> None:
    """While nothing is in hand yet, as during the load of the weights, a signal ends the process."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(0)

    for number in SIGNALS:
        signal.signal(number, leave)
