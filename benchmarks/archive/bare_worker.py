"""A bare Celery worker whose task does nothing, with Celery's own settings: the upper bound of throughput."""

from __future__ import annotations

import os

from celery import Celery

QUEUE_NAME = "bare"
TASK_NAME = "bare.nothing"

app = Celery("bare", broker=os.environ.get("BARE_REDIS_URL"), set_as_current=False)
app.conf.update(task_default_queue=QUEUE_NAME, task_ignore_result=True)


@app.task(name=TASK_NAME)  # type: ignore[untyped-decorator]
def nothing(document_id: int) -> None:
    """Takes the same arguments as the real task."""
