"""Rate-limited cache of run progress for many open pages.

Counting a run of 100,000 notes takes most of a second; ten open pages must not do it all day.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any

_REST = 10
"""Pause after counting, in multiples of the time that it took."""


class ProgressCache:
    """Caches a count for a time in proportion to its cost."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._kept: dict[Hashable, tuple[float, Any]] = {}

    def get(self, key: Hashable, count: Callable[[], Any]) -> Any:
        """The value of `count`, or its value of a short while ago."""
        with self._lock:  # one counts, the others wait for it
            until, value = self._kept.get(key, (0.0, None))
            begun = self._clock()
            if key not in self._kept or begun >= until:
                value = count()
                took = self._clock() - begun
                self._kept[key] = (begun + took * (1 + _REST), value)
            return value
