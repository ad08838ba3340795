"""The command line of a worker process. Does not import torch or Celery."""

from __future__ import annotations

import sys

from models.messages import QUEUE_NAME
from models.settings import Settings


def worker_command(settings: Settings, *, app: str = "worker.app:app") -> list[str]:
    """Arguments that start one worker process; its environment must hold the same settings.

    `app`: module and name of the Celery application that `worker.app.make_app` made."""
    return [
        *(sys.executable, "-m", "celery", "--quiet", "--app", app, "worker"),
        *("--pool", "threads", "--concurrency", str(settings.worker_threads)),
        *("--queues", QUEUE_NAME, "--loglevel", settings.log_level),
        # Off: messages between workers (gossip, mingle) and heartbeats for monitors. Leases in SQL do that,
        # and an idle Redis wakes no worker.
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    ]
