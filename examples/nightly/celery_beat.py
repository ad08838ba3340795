"""Nights on the clock of Celery beat, in an application of its own beside notemill's workers.

    NIGHT_PLAN=/srv/notemill/archive.toml CELERY_BROKER_URL=redis://queue:6379/1 \\
        celery --app examples.nightly.celery_beat:app worker --beat --concurrency 1 --queues nights

Another database of Redis (the /1), or another server, than the one the notes' messages go through. The
task starts the command as a process; a night that is still at work when the next one begins is left alone.
"""

from __future__ import annotations

import os
import subprocess
import sys

from celery import Celery
from celery.schedules import crontab

LEFT = 75
"""The time was over, and the rest is left for the next run: nothing is wrong."""

app = Celery("nights", broker=os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/1"))
app.conf.update(
    task_default_queue="nights",
    task_ignore_result=True,
    timezone=os.environ.get("TZ", "UTC"),
    # A night is longer than the hour after which Redis would hand the message to a second worker.
    broker_transport_options={"visibility_timeout": 24 * 3600},
    beat_schedule={
        "archive": {"task": "nights.night", "schedule": crontab(hour=22, minute=0), "args": ("06:00",)},
    },
)


@app.task(name="nights.night")  # type: ignore[untyped-decorator]
def night(until: str) -> int:
    """The exit status of the night. Raises CalledProcessError where a person has to look."""
    command = [sys.executable, "-m", "notemill", "nightly", os.environ["NIGHT_PLAN"], "--until", until]
    done = subprocess.run([*command, "--quiet"], check=False)  # noqa: S603
    if done.returncode not in (0, LEFT):
        raise subprocess.CalledProcessError(done.returncode, "notemill nightly")
    return done.returncode
