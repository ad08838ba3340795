"""Progress of long work: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from console.terminal.terminal import human_duration, stderr
from console.terminal.throughput import Throughput

_SECONDS_BETWEEN_LINES = 10.0


class ProgressOutput(Protocol):
    """Progress output: `say` stays on the screen, `show` is replaced by the next one."""

    def say(self, words: str) -> None: ...

    def show(self, done: int, total: int, words: str) -> None: ...

    def close(self) -> None: ...


def progress_output(*, is_quiet: bool) -> ProgressOutput:
    """The progress output for standard error: a terminal, a file, or silence."""
    console = stderr()
    if is_quiet:
        return NoOutput()
    return TerminalBar(console) if console.is_terminal else PlainLines(console)


class NoOutput:
    """Prints nothing."""

    def say(self, words: str) -> None:
        pass

    def show(self, done: int, total: int, words: str) -> None:
        pass

    def close(self) -> None:
        pass


class PlainLines:
    """Plain lines; moving ones at most every ten seconds and at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last_seconds = 0.0

    def say(self, words: str) -> None:
        self._console.print(words, soft_wrap=True)

    def show(self, done: int, total: int, words: str) -> None:
        now = time.monotonic()
        if now - self._last_seconds >= _SECONDS_BETWEEN_LINES or (total and done >= total):
            self._last_seconds = now
            self.say(f"{done:,} of {total:,} · {words}" if total else words)

    def close(self) -> None:
        pass


class TerminalBar:
    """One moving line at the bottom of a terminal."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[count]}", markup=False),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
        )
        self._line: TaskID | None = None

    def say(self, words: str) -> None:
        self._progress.console.print(words, soft_wrap=True)

    def show(self, done: int, total: int, words: str) -> None:
        if self._line is None:
            self._line = self._progress.add_task("", count="")
            self._progress.start()
        count = f"{done:,}/{total:,}" if total else ""
        self._progress.update(self._line, completed=done, total=total or None, description=words, count=count)

    def close(self) -> None:
        """Removes the line; a later `show` begins a new one."""
        if self._line is not None:
            self._progress.stop()
            self._progress.remove_task(self._line)
            self._line = None


def pace_words(pace: Throughput, jobs_left: int, failed: int) -> str:
    """Speed in words, such as '612 notes an hour · 3 min left · 1 failed'."""
    parts = []
    if (hourly := pace.notes_an_hour) is not None:
        parts.append(f"{hourly:,.0f} notes an hour")
    else:
        parts.append("working")
    if jobs_left and (seconds := pace.seconds_left(jobs_left)) is not None:
        parts.append(f"{human_duration(seconds)} left")
    parts.append(f"{failed:,} failed" if failed else "none failed")
    return " · ".join(parts)
