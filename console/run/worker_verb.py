"""`notemill worker`: becomes the Celery worker, with an embedded Redis server where none is configured."""

from __future__ import annotations

import os

from console.processes import child_process, file_locks
from console.processes.embedded_redis import make_home_folder, start_redis, with_redis
from console.processes.weights_preparation import ensure_serving
from console.processes.worker_process import worker_arguments, worker_environment, worker_lock_path
from console.terminal.opened_database import database
from console.terminal.progress_bar import progress_output
from console.terminal.terminal import command_to_type
from models.settings import load_settings


def serve() -> int:
    """Replaces this process by Celery. Open file descriptors keep the Redis server's supervisor and the lock
    of this machine's worker alive as long as the process lives."""
    settings = load_settings()
    make_home_folder(settings)
    reporter = progress_output(is_quiet=False)
    with database(settings) as opened:
        serving = ensure_serving(settings, opened, reporter.say)
    if settings.is_redis_embedded:
        redis = start_redis(settings)
        settings = with_redis(settings, redis.url)
        if redis.child is not None:
            child_process.keep_across_exec(redis.child)
    lock = file_locks.try_lock(worker_lock_path(settings, serving.id))
    if lock is not None:
        os.set_inheritable(lock, True)
    reporter.say(
        f"Loading the weights. Ctrl-C stops; to give it work, type: {command_to_type('submit', 'NOTES')}"
    )
    command = worker_arguments(settings)
    os.execve(command[0], command, worker_environment(settings))  # noqa: S606  no shell is wanted
