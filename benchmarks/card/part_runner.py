"""Runs the parts one after another, each with a time limit; a part that fails does not affect the others.

GPU time is expensive, so every line is printed as soon as it is known, and the process ends in time.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchmarks.card.card_setup import Card
from benchmarks.card.figure_format import NamedFigures, format_figure, four_digits


class BenchmarkPart(NamedTuple):
    """A measurement with its time limit."""

    measure: Callable[[Card], NamedFigures]
    seconds: float
    """Time limit."""


class PartTimeoutError(Exception):
    """The part did not finish within its time limit."""


class PartRunner:
    """Runs parts on one GPU and collects their figures."""

    def __init__(self, card: Card, description: Mapping[str, Any], seconds: float, *, is_json: bool) -> None:
        self._card, self._seconds, self._is_json = card, seconds, is_json
        self._end = time.monotonic() + seconds
        self._result: dict[str, Any] = {**description, "parts": {}, "failed": {}, "seconds": {}}

    def run_all(self, parts: Mapping[str, BenchmarkPart]) -> int:
        """Prints the figures of all parts and returns the exit status."""
        print("{date}, {card}, torch {torch}, shape {shape}".format(**self._result), flush=True)
        # A CUDA call cannot be interrupted by a signal.
        timer = threading.Timer(self._seconds + 10, self._force_exit)
        timer.daemon = True
        timer.start()
        for name, part in parts.items():
            self._run_part(name, part)
        timer.cancel()
        timer.join()  # its thread holds this object, and must not be the last to release it
        self._conclude()
        return 1 if self._result["failed"] else 0

    def _run_part(self, name: str, part: BenchmarkPart) -> None:
        print(f"\n{name}: {(part.measure.__doc__ or '').strip()}", flush=True)
        figures = self._result["parts"].setdefault(name, {})
        began = time.monotonic()
        try:
            if self._end - began <= 1:
                raise PartTimeoutError("the time of the whole run is over")
            _alarm(min(part.seconds, self._end - began))
            for key, value in part.measure(self._card):
                figures[key] = value
                print(f"  {key:<36} {format_figure(value)}", flush=True)
        except Exception as error:  # noqa: BLE001  GPU time is expensive: the other parts continue
            _alarm(0)
            reason = f"{type(error).__name__}: {error}"[:300]
            self._result["failed"][name] = reason
            print(f"  failed: {reason}", flush=True)
            traceback.print_exc()
            self._card.drop_weights(*self._card.weights)
        finally:
            _alarm(0)
        seconds = four_digits(time.monotonic() - began)
        self._result["seconds"][name] = seconds
        print(f"  ({seconds} s)", flush=True)

    def _force_exit(self) -> None:
        self._result["failed"]["all"] = f"ended by force after {self._seconds:.0f} s"
        self._conclude()
        os._exit(1)

    def _conclude(self) -> None:
        if self._result["failed"]:
            print(f"\nfailed: {', '.join(self._result['failed'])}")
        if self._is_json:
            print(json.dumps(self._result))
        sys.stdout.flush()


def _alarm(seconds: float) -> None:
    """Raises PartTimeoutError after `seconds`; 0 cancels it. Does nothing outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return

    def on_alarm(*_signal: object) -> None:
        raise PartTimeoutError(f"not finished within {seconds:.0f} s")

    signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds)
