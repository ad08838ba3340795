"""What a chaos run has several of: places for workers, and ranges of notes that producers submit."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

VISIBILITY_SECONDS = 60
"""The usual one."""


@dataclass
class WorkerSlot:
    """One worker, over all its lives."""

    group: str
    """`instant` or `real`: which of the notes it reads."""
    process: subprocess.Popen[bytes] | None = None
    clock_seconds: float = 0.0
    """How far the clock of its next life is off."""
    visibility_seconds: int = VISIBILITY_SECONDS
    lives: int = 0

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass
class NoteRange:
    """A range of notes that has to be submitted, until it is."""

    group: str
    first: int
    count: int
    not_before: float = float("inf")
    """By time.monotonic()."""
    process: subprocess.Popen[bytes] | None = None
    is_submitted: bool = False

    @property
    def name(self) -> str:
        return f"{self.group}-{self.first:05d}"
