"""Runs parts one after another, each in its time: what one costs or breaks is not the others'.

Minutes on a card are few, so every line is printed when it is known, and the process ends in time.
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
    """Something that is measured."""

    measure: Callable[[Card], NamedFigures]
    seconds: float
    """That it may take."""


class PartTimeoutError(Exception):
    """The part was not done in its time."""


class PartRunner:
    """Of some parts on one card, and what they found."""

    def __init__(self, card: Card, told: Mapping[str, Any], seconds: float, *, is_json: bool) -> None:
        self._card, self._seconds, self._is_json = card, seconds, is_json
        self._end = time.monotonic() + seconds
        self._result: dict[str, Any] = {**told, "parts": {}, "failed": {}, "seconds": {}}

    def all_of(self, parts: Mapping[str, BenchmarkPart]) -> int:
        """Prints what they find; the exit status."""
        print("{date}, {card}, torch {torch}, shape {shape}".format(**self._result), flush=True)
        # A call into the card cannot be interrupted.
        timer = threading.Timer(self._seconds + 10, self._end_anyway)
        timer.daemon = True
        timer.start()
        for name, part in parts.items():
            self._one(name, part)
        timer.cancel()
        timer.join()  # its thread holds this run, and must not be the last to let it go
        self._conclude()
        return 1 if self._result["failed"] else 0

    def _one(self, name: str, part: BenchmarkPart) -> None:
        print(f"\n{name}: {(part.measure.__doc__ or '').strip()}", flush=True)
        found = self._result["parts"].setdefault(name, {})
        began = time.monotonic()
        try:
            if self._end - began <= 1:
                raise PartTimeoutError("no time is left")
            _alarm(min(part.seconds, self._end - began))
            for key, value in part.measure(self._card):
                found[key] = value
                print(f"  {key:<36} {format_figure(value)}", flush=True)
        except Exception as error:  # noqa: BLE001  minutes on a card are few: the other parts go on
            _alarm(0)
            told = f"{type(error).__name__}: {error}"[:300]
            self._result["failed"][name] = told
            print(f"  failed: {told}", flush=True)
            traceback.print_exc()
            self._card.forget(*self._card.weights)
        finally:
            _alarm(0)
        seconds = four_digits(time.monotonic() - began)
        self._result["seconds"][name] = seconds
        print(f"  ({seconds} s)", flush=True)

    def _end_anyway(self) -> None:
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
    """Raises PartTimeoutError in this thread then; 0: never. Only the main thread hears it."""
    if threading.current_thread() is not threading.main_thread():
        return

    def over(*_of_signal: object) -> None:
        raise PartTimeoutError(f"not done in {seconds:.0f} s")

    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
