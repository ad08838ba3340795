"""How far a run is: counts by status, the values behind `notemill status`."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from models.answers import Task
from models.jobs import JobStatus


class RunProgress(BaseModel):
    """One run, counted. Documents of equal text share their jobs, and a job counts once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: int
    created_at: datetime
    is_closed: bool
    """Every document is registered; the total will not grow."""
    is_cancelled: bool
    documents: int
    refused: int
    pending: int = 0
    running: int = 0
    finished: int = 0
    failed: int = 0
    cancelled: int = 0
    finished_before: int = 0
    """Of the finished: those that an earlier run had paid for."""
    by_task: dict[Task, dict[JobStatus, int]] = Field(default_factory=dict)
    reasons: dict[str, int] = Field(default_factory=dict)
    """Of the failed, by reason."""
    first_started_at: datetime | None = None
    """Of the jobs that were started since the run began; so are notes an hour measured."""
    last_finished_at: datetime | None = None

    @property
    def total(self) -> int:
        return self.pending + self.running + self.finished + self.failed + self.cancelled

    @property
    def is_done(self) -> bool:
        """Registered in full, and nothing is owed."""
        return self.is_closed and not self.pending and not self.running

    @property
    def ended(self) -> int:
        """Jobs that nobody waits for any more."""
        return self.total - self.pending - self.running

    @property
    def state(self) -> str:
        """In a word or two."""
        if self.is_cancelled:
            return "cancelled"
        if self.is_done:
            return f"done, {self.failed:,} failed" if self.failed else "done"
        if not self.is_closed:
            return "registering"
        return "working" if self.running else "waiting"

    @property
    def notes_an_hour(self) -> float | None:
        """Over the time from the first job that this run brought to its last, or to now while it works."""
        done = self.finished + self.failed - self.finished_before
        if self.first_started_at is None or done <= 0 or not self.total:
            return None
        until = (self.last_finished_at if self.is_done else None) or datetime.now(UTC)
        seconds = (until - self.first_started_at).total_seconds()
        return done * self.documents / self.total * 3600 / seconds if seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """At that pace; none where it is done or not known."""
        if self.is_done or not self.notes_an_hour:
            return None
        notes_left = (self.pending + self.running) * self.documents / max(self.total, 1)
        return notes_left * 3600 / self.notes_an_hour
