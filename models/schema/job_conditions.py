"""Conditions on rows of jobs, in the text of the partial indexes that answer them."""

from __future__ import annotations

from sqlalchemy import text

OWED_OR_RUNNING = text("jobs.status IN ('pending', 'running')")
"""The condition of the partial index, literally: SQLite uses such an index only for an equal condition."""
IS_RUNNING = text("jobs.status = 'running'")
IS_URGENT = text("jobs.is_urgent")
URGENT_AND_OWED_OR_RUNNING = text("jobs.is_urgent AND jobs.status IN ('pending', 'running')")
IS_FAILED = text("jobs.status = 'failed'")
IS_QUARANTINED = text("jobs.attempts > jobs.attempts_forgiven")
"""An earlier claim did not end: its worker died, or an unexpected exception ended it."""
QUARANTINED_AND_OWED_OR_RUNNING = text(
    "jobs.attempts > jobs.attempts_forgiven AND jobs.status IN ('pending', 'running')"
)
