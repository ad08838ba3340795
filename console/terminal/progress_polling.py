"""Polling of a run's progress that takes a bounded share of the time."""

from __future__ import annotations

import time

from models.progress import RunProgress
from models.queries.queries import Queries

POLL_SECONDS = 0.3
_MAX_POLLING_SHARE = 0.1
"""Largest share of the time spent on counting; counting the jobs of ten million notes takes seconds."""


def poll_progress(queries: Queries, run_id: int) -> RunProgress:
    """Reads the progress of a run, then pauses in proportion to the time that this took."""
    asked_at = time.monotonic()
    progress = queries.run_progress(run_id)
    time.sleep(max(POLL_SECONDS, (time.monotonic() - asked_at) / _MAX_POLLING_SHARE))
    return progress
