"""Child process supervisor: runs a command that must not outlive its starter; a script of its own.

Standard input is the starter's pipe, which closes however the starter dies, SIGKILL included. Then the
command gets SIGTERM, and SIGKILL after the grace.

Usage: python -I -S supervisor.py GRACE_SECONDS LIVES COMMAND…
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

_PR_SET_PDEATHSIG = 1
_SHORTEST_LIFE_SECONDS = 2.0
"""A command that ends sooner cannot start at all; another start would not help."""


def main(grace_seconds: float, lives: int, command: list[str]) -> int:
    """Runs the command until it ends, the pipe closes or a signal comes; returns its exit status."""
    asked_to_stop: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: asked_to_stop.append(number))
    die_with_me = _death_signal()
    while True:
        began = time.monotonic()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=die_with_me)  # noqa: S603  ours
        while child.poll() is None:
            if asked_to_stop or _is_starter_gone():
                return _stopped(child, grace_seconds, asked_to_stop)
        lives -= 1
        if lives < 1 or asked_to_stop or time.monotonic() - began < _SHORTEST_LIFE_SECONDS:
            return _status(child)


def _is_starter_gone() -> bool:
    """Waits up to a tenth of a second for the starter's end of the pipe to close."""
    readable, _, _ = select.select([0], [], [], 0.1)
    return bool(readable) and os.read(0, 1) == b""


def _stopped(child: subprocess.Popen[Any], grace_seconds: float, signals: list[int]) -> int:
    """Passes every signal on; sends one more SIGTERM at half of the grace, SIGKILL at its end."""
    if not signals:
        signals.append(signal.SIGTERM)
    num_sent, has_insisted = 0, False
    began = time.monotonic()
    while child.poll() is None and (seconds := time.monotonic() - began) < grace_seconds:
        if seconds > grace_seconds / 2 and not has_insisted:
            has_insisted = True
            signals.append(signal.SIGTERM)
        for number in signals[num_sent:]:
            child.send_signal(number)
        num_sent = len(signals)
        time.sleep(0.02)
    if child.poll() is None:
        child.kill()
    child.wait()
    return _status(child)


def _status(child: subprocess.Popen[Any]) -> int:
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _death_signal() -> Callable[[], Any] | None:
    """Asks Linux to kill the command where this process is killed."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
