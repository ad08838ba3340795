"""The command that starts a worker process, for the command line and the tests. No torch, no Celery."""

from __future__ import annotations

import sys

from models.messages import QUEUE_NAME
from models.settings import Settings


def worker_command(settings: Settings, *, app: str = "worker.app:app") -> list[str]:
    """The arguments of one worker process; its environment must hold the same settings.

    `app`: where the Celery application is, made by `worker.app.make_app`."""
    return [
        *(sys.executable, "-m", "celery", "--quiet", "--app", app, "worker"),
        *("--pool", "threads", "--concurrency", str(settings.worker_threads)),
        *("--queues", QUEUE_NAME, "--loglevel", settings.log_level),
        # What workers would tell each other: who is there (gossip), what was revoked (mingle), and
        # signs of life for monitors. Ours go through SQL, and a quiet Redis wakes nobody up.
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    ]
