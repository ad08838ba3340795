"""Worker identity: the name of a worker process, and whether that process still runs."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path


def worker_name() -> str:
    """`HOST:PID:START` of this process; START tells it from a later one with the same number."""
    return f"{socket.gethostname()}:{os.getpid()}:{_start_of(os.getpid())}"


def is_dead(name: str) -> bool:
    """True where the worker of this name ran on this machine and has ended.

    False where that is unknown: another machine, or no /proc and the process id is in use again. A wrong
    answer costs a note processed twice, never a row: leases have tokens.
    """
    before, _, start = name.rpartition(":")
    host, _, pid = before.rpartition(":")
    if host != socket.gethostname() or not pid.isdecimal():
        return False
    return not _is_running(int(pid)) or (_has_proc() and _start_of(int(pid)) != start)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _has_proc() -> bool:
    return Path("/proc/self/stat").exists()


def _start_of(pid: int) -> str:
    """Clock ticks from boot to the start of the process; without /proc the current time in seconds."""
    try:
        after_command = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2]
    except OSError:
        return str(int(time.time()))
    return after_command.split()[19]
