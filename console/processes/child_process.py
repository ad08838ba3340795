"""Child processes that never outlive notemill, each under a supervisor. Knows nothing of their commands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SECONDS_BETWEEN_SIGNALS = 0.3
"""Pause between two signals; the kernel merges equal signals that come together."""
_SUPERVISOR_GRACE_SECONDS = 2.0
"""Allowance beyond the supervisor's own wait before it kills."""

_LONGEST_LOG_BYTES = 10_000_000
"""A log of a hundred thousand notes; a longer one is renamed at the next start, over the one before."""


@dataclass(frozen=True, slots=True)
class Child:
    """A command under a supervisor; its output goes to `log`, never to the terminal."""

    process: subprocess.Popen[bytes]
    log: Path
    supervisor_fd: int
    """Our end of the pipe to the supervisor; the command lives as long as it is open."""

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def stop(self, grace_seconds: float, *, is_hurried: bool = False) -> None:
        """Sends SIGTERM, twice where it is hurried, and SIGKILL after the grace; returns when the command has
        ended."""
        if self.is_running:
            self.process.terminate()
        if is_hurried:
            time.sleep(_SECONDS_BETWEEN_SIGNALS)
            self.process.terminate()
        try:
            self.process.wait(grace_seconds + _SUPERVISOR_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()  # the supervisor; its death ends the command
            self.process.wait()
        self.close()

    def close(self) -> None:
        """Closes the pipe to a command that has ended."""
        os.close(self.supervisor_fd)


def start(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    grace_seconds: float,
    lives: int = 1,
    kept: Sequence[int] = (),
) -> Child:
    """Starts `command` under a supervisor in a session of its own, so that Ctrl-C reaches us only.

    `lives`: how often it may be started again where it ends by itself after a healthy while. `kept`: file
    descriptors, such as locks, that the supervisor keeps open as long as it lives.
    """
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    supervisor_end, our_end = os.pipe()
    supervisor = [sys.executable, "-I", "-S", str(Path(__file__).with_name("supervisor.py"))]
    if log.exists() and log.stat().st_size > _LONGEST_LOG_BYTES:
        log.replace(log.with_name(log.name + ".old"))
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(  # noqa: S603  a command of ours, no shell
            [*supervisor, str(grace_seconds), str(lives), *command],
            stdin=supervisor_end,
            stdout=descriptor,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
            pass_fds=tuple(kept),
        )
    except BaseException:
        os.close(our_end)
        raise
    finally:
        os.close(supervisor_end)
        os.close(descriptor)
    return Child(process, log, our_end)


def size_after_start(log: Path) -> int:
    """Size of the log at which the lines of the next child will begin."""
    size = log.stat().st_size if log.exists() else 0
    return 0 if size > _LONGEST_LOG_BYTES else size


def keep_across_exec(child: Child) -> None:
    """Lets the child survive an exec: the program that we become holds it then."""
    os.set_inheritable(child.supervisor_fd, True)


def exit_status_words(status: int) -> str:
    """An exit status in words, such as 'killed by SIGKILL'."""
    number = -status if status < 0 else status - 128
    signal_names = {number.value: number.name for number in signal.Signals}
    return f"killed by {signal_names[number]}" if number in signal_names else f"exit status {status}"
