"""Which engine a worker has: the one place that chooses by the settings. Imports what it chose."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from models.settings import Settings
from worker.engine.api import Engine
from worker.telemetry.usage_meter import UsageMeter


class LoadedEngine(Engine, Protocol):
    """An engine with what it holds, until it is closed."""

    def close(self) -> None:
        """Ends what it has under way; what is unanswered is refused."""
        ...


LoadEngine = Callable[[Settings, UsageMeter | None], LoadedEngine]


def load(settings: Settings, meter: UsageMeter | None = None) -> LoadedEngine:
    """The engine, ready; `meter` is told where its time goes.

    Raises NotemillError where its weights or its server are not there.
    """
    with _without_collecting():
        if settings.engine == "http":
            from worker.engine.http import http_engine

            return http_engine.load(settings, meter)
        from worker.engine.network import local_engine

        return local_engine.load(settings, meter)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Nearly all that is made meanwhile stays: to look for garbage in it again and again took a fifth of a
    worker's start (docs/results/performance.md)."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
