"""The hard end of a run: when its time is over, what is left is said, and whatever was started ends."""

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
"""Exit status."""
_GRACE_SECONDS = 120.0
"""From the end of the time until the run is ended by force, should it hang itself."""
_SHOWN_JOBS = 20
_OPEN_JOBS = (
    "SELECT id, status, attempts, kills, worker, lease_until_epoch FROM jobs"
    " WHERE status IN ('pending', 'running') ORDER BY id"
)


class UnfinishedRunError(NotemillError):
    """There was work left when the time was over; a line each."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))


@dataclass(frozen=True, slots=True)
class RunDeadline:
    """Of a whole run, its start included."""

    seconds: float
    _began: float = field(default_factory=time.monotonic)

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self._began + self.seconds

    def check(self, stage: ChaosTestBed, doing: str) -> None:
        """Raises NotEndedError, with what is left, when the time is over."""
        if self.is_over:
            first = f"{doing}: not ended within {self.seconds:g} s; logs in {stage.folder}"
            raise UnfinishedRunError([first, *unfinished_work(stage)])


@contextmanager
def force_exit_after(deadline: RunDeadline, stage: ChaosTestBed) -> Iterator[None]:
    """A block that waits for nobody: when it has not come to an end well after the deadline, the process says
    where it hangs and ends; its children go with it."""

    def end() -> None:
        print(f"the run itself hangs; logs in {stage.folder}", file=sys.stderr)
        faulthandler.dump_traceback(sys.stderr)
        stage.redis.stop()  # the one that would stay
        os._exit(UNFINISHED_EXIT_STATUS)

    timer = threading.Timer(deadline.seconds + _GRACE_SECONDS, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def unfinished_work(stage: ChaosTestBed) -> list[str]:
    """Lines about jobs, workers and producers; every worker writes into its log where its threads are."""
    return [*_jobs_left(stage), *_processes_left(stage)]


def _jobs_left(stage: ChaosTestBed) -> list[str]:
    try:
        engine = stage.engine
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


def _processes_left(stage: ChaosTestBed) -> list[str]:
    lines = []
    for number, place in enumerate(stage.workers):
        if place.process is not None and place.is_running:
            place.process.send_signal(signal.SIGUSR1)
            lines.append(f"worker-{number}: {_state(place.process.pid)}, its life {place.lives}")
    waiting = [chunk.name for chunk in stage.chunks if not chunk.is_submitted]
    commands = [str(one.args[2:]) for one in stage.others]  # type: ignore[index]
    return [*lines, f"not submitted: {', '.join(waiting) or 'none'}", f"commands: {commands or 'none'}"]


def _state(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines()
    except OSError:
        return f"{pid}, gone"
    return f"{pid}, {next(line for line in words if line.startswith('State'))}"
