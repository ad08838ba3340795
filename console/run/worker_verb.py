"""`notemill worker`: becomes the Celery worker, with an embedded Redis server where none is configured."""

from __future__ import annotations

import os

from console.processes import child_process, file_locks
from console.processes.embedded_redis import make_home, start_redis, with_redis
from console.processes.weights_preparation import ensure_serving
from console.processes.worker_process import arguments, environment, lock_path
from console.terminal.opened_database import database
from console.terminal.progress_bar import voice
from console.terminal.terminal import typed
from models.settings import load_settings


def serve() -> int:
    """Replaces this process by Celery. Open file descriptors keep the Redis server's supervisor and the lock
    of this machine's worker alive as long as the process lives."""
    settings = load_settings()
    make_home(settings)
    speaking = voice(is_quiet=False)
    with database(settings) as opened:
        serving = ensure_serving(settings, opened, speaking.say)
    if settings.is_redis_embedded:
        redis = start_redis(settings)
        settings = with_redis(settings, redis.url)
        if redis.child is not None:
            child_process.hand_over(redis.child)
    lock = file_locks.taken(lock_path(settings, serving.id))
    if lock is not None:
        os.set_inheritable(lock, True)
    speaking.say(f"Loading the weights. Ctrl-C stops; to give it work, type: {typed('submit', 'NOTES')}")
    command = arguments(settings)
    os.execve(command[0], command, environment(settings))  # noqa: S606  no shell is wanted
