"""How far a run is: counts by status, the values behind `notemill status`."""

from __future__ import annotations

from datetime import datetime

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
