"""Progress of a run: job counts by status and the derived rates that `notemill status` shows."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from models.answers import Task
from models.jobs import JobStatus


class RunProgress(BaseModel):
    """The job counts of one run. Documents of equal text share their jobs; a job counts once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: int
    created_at: datetime
    is_closed: bool
    """Every document is registered; the total does not grow any more."""
    is_cancelled: bool
    documents: int
    refused: int
    pending: int = 0
    running: int = 0
    finished: int = 0
    failed: int = 0
    cancelled: int = 0
    finished_before: int = 0
    """Finished jobs that an earlier run computed."""
    by_task: dict[Task, dict[JobStatus, int]] = Field(default_factory=dict)
    reasons: dict[str, int] = Field(default_factory=dict)
    """Failed jobs by reason."""
    first_started_at: datetime | None = None
    """The first start of a job since the run began; notes an hour are measured from here."""
    last_finished_at: datetime | None = None

    @property
    def total(self) -> int:
        return self.pending + self.running + self.finished + self.failed + self.cancelled

    @property
    def is_done(self) -> bool:
        """True once every document is registered and no job is owed."""
        return self.is_closed and not self.pending and not self.running

    @property
    def ended(self) -> int:
        """Jobs that are finished, failed or cancelled."""
        return self.total - self.pending - self.running

    @property
    def state(self) -> str:
        """The state of the run in a word or two."""
        if self.is_cancelled:
            return "cancelled"
        if self.is_done:
            return f"done, {self.failed:,} failed" if self.failed else "done"
        if not self.is_closed:
            return "registering"
        return "working" if self.running else "waiting"

    @property
    def notes_an_hour(self) -> float | None:
        """Documents an hour, from the first start of a job to the last end, or to now while the run works."""
        done = self.finished + self.failed - self.finished_before
        if self.first_started_at is None or done <= 0 or not self.total:
            return None
        until = (self.last_finished_at if self.is_done else None) or datetime.now(UTC)
        seconds = (until - self.first_started_at).total_seconds()
        return done * self.documents / self.total * 3600 / seconds if seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """The forecast at this rate; None if the run is done or the rate is unknown."""
        if self.is_done or not self.notes_an_hour:
            return None
        notes_left = (self.pending + self.running) * self.documents / max(self.total, 1)
        return notes_left * 3600 / self.notes_an_hour
