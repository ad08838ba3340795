"""Deadline of a run: reports the unfinished work and ends all processes."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import text

from models.errors import NotemillError
from models.schema.database import read_transaction
from resilience.chaos.test_bed import ChaosTestBed

UNFINISHED_EXIT_STATUS = 3
"""Exit status of a run with open jobs at its deadline."""
_GRACE_SECONDS = 120.0
"""Time from the deadline until a run that hangs is ended by force."""
_SHOWN_JOBS = 20
_OPEN_JOBS = (
    "SELECT id, status, attempts, kills, worker, lease_until_epoch FROM jobs"
    " WHERE status IN ('pending', 'running') ORDER BY id"
)


class UnfinishedRunError(NotemillError):
    """Work was unfinished at the deadline; the message has one line each."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))


@dataclass(frozen=True, slots=True)
class RunDeadline:
    """Time limit of a whole run, including its start."""

    seconds: float
    _began: float = field(default_factory=time.monotonic)

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self._began + self.seconds

    def check(self, bed: ChaosTestBed, phase: str) -> None:
        """Raises UnfinishedRunError with the unfinished work once the time is over."""
        if self.is_over:
            first = f"{phase}: not ended within {self.seconds:g} s; logs in {bed.folder}"
            raise UnfinishedRunError([first, *unfinished_work(bed)])


@contextmanager
def force_exit_after(deadline: RunDeadline, bed: ChaosTestBed) -> Iterator[None]:
    """Ends the process, and with it its children, when the block still runs well after the deadline.

    Prints the stack of every thread first.
    """

    def end() -> None:
        print(f"the run itself hangs; logs in {bed.folder}", file=sys.stderr)
        faulthandler.dump_traceback(sys.stderr)
        bed.redis.stop()  # it does not end with this process
        os._exit(UNFINISHED_EXIT_STATUS)

    timer = threading.Timer(deadline.seconds + _GRACE_SECONDS, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def unfinished_work(bed: ChaosTestBed) -> list[str]:
    """Lines about jobs, workers and producers. Every worker writes the stacks of its threads into its log."""
    return [*_open_job_lines(bed), *_process_lines(bed)]


def _open_job_lines(bed: ChaosTestBed) -> list[str]:
    try:
        engine = bed.engine
        with read_transaction(engine) as connection:
            rows = connection.execute(text(_OPEN_JOBS)).all()
        engine.dispose()
    except NotemillError as error:
        return [str(error)]
    shown = [
        f"job {row.id}: {row.status}, attempt {row.attempts}, kills {row.kills}, worker {row.worker},"
        f" lease until {row.lease_until_epoch}"
        for row in rows[:_SHOWN_JOBS]
    ]
    return [f"{len(rows)} jobs are open", *shown]


def _process_lines(bed: ChaosTestBed) -> list[str]:
    lines = []
    for number, slot in enumerate(bed.workers):
        if slot.process is not None and slot.is_running:
            slot.process.send_signal(signal.SIGUSR1)
            lines.append(f"worker-{number}: {_process_state(slot.process.pid)}, start {slot.num_starts}")
    waiting = [note_range.name for note_range in bed.note_ranges if not note_range.is_submitted]
    commands = [str(process.args[2:]) for process in bed.commands]  # type: ignore[index]
    return [*lines, f"not submitted: {', '.join(waiting) or 'none'}", f"commands: {commands or 'none'}"]


def _process_state(pid: int) -> str:
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines()
    except OSError:
        return f"{pid}, gone"
    return f"{pid}, {next(line for line in status if line.startswith('State'))}"
