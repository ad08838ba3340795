"""Worker slots of a chaos run, and the note ranges that its producers submit."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

VISIBILITY_SECONDS = 60
"""The default visibility timeout."""


@dataclass
class WorkerSlot:
    """One worker, across all restarts."""

    group: str
    """`instant` or `real`: the notes that it reads."""
    process: subprocess.Popen[bytes] | None = None
    clock_seconds: float = 0.0
    """Offset of its clock after the next start."""
    visibility_seconds: int = VISIBILITY_SECONDS
    num_starts: int = 0

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass
class NoteRange:
    """A range of notes that a producer must submit."""

    group: str
    first: int
    count: int
    not_before: float = float("inf")
    """Earliest time of the submission, by time.monotonic()."""
    process: subprocess.Popen[bytes] | None = None
    is_submitted: bool = False

    @property
    def name(self) -> str:
        return f"{self.group}-{self.first:05d}"
