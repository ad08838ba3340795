"""Chooses the engine by the settings and loads it. Imports only the engine that it chooses."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from models.settings import Settings
from worker.engine.api import Engine
from worker.telemetry.usage_meter import UsageMeter


class LoadedEngine(Engine, Protocol):
    """An engine that holds resources until it is closed."""

    def close(self) -> None:
        """Stops the engine; open requests are answered with a RequestError."""
        ...


LoadEngine = Callable[[Settings, UsageMeter | None], LoadedEngine]


def load(settings: Settings, meter: UsageMeter | None = None) -> LoadedEngine:
    """Loads the engine; `meter` measures where its time goes.

    Raises NotemillError if the weights or the server are missing.
    """
    with _garbage_collection_paused():
        if settings.engine == "http":
            from worker.engine.http import http_engine

            return http_engine.load(settings, meter)
        from worker.engine.network import local_engine

        return local_engine.load(settings, meter)


@contextmanager
def _garbage_collection_paused() -> Iterator[None]:
    """Pauses garbage collection: nearly all objects made while loading stay, and scanning them took
    a fifth of a worker's start (docs/results/performance.md)."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
