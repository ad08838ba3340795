"""Worker process of `run`: uses an existing worker, or starts one and keeps it alive.

A lock file for each serving says whether a worker of this machine serves it, also while it loads weights and
does not answer yet.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from console.processes import child_process, file_locks
from console.processes.worker_ping import is_worker_alive
from models.errors import NotemillError
from models.settings import Settings, as_environment

_ROOT = Path(__file__).parents[2]
_DEATHS = 3
"""Deaths in a row, with no finished job between, after which another start would end the same way."""
_LOOK_SECONDS = 2.0
_OTHERS_IDLE_SECONDS = 30.0
"""A worker of others that takes none of our jobs in this time serves something else."""
_GRACE_SECONDS = 25.0
"""Allowance beyond the worker's stop time, to release its documents and end."""
_CANNOT_START = "the worker cannot start: "
"""Start of the messages of `worker.queue.startup` for operators; other log lines are not shown."""


class WorkerError(NotemillError):
    """The worker does not stay alive."""


class WorkerProcess:
    """The worker for one serving, ours or another's."""

    def __init__(self, settings: Settings, serving_id: str, *, may_be_elsewhere: bool) -> None:
        """`may_be_elsewhere`: the Redis server is shared, so a worker that we did not start may serve it."""
        self._settings = settings
        self._serving_id = serving_id
        self._may_be_elsewhere = may_be_elsewhere
        self._child: child_process.Child | None = None
        self._deaths = 0
        self._progress: object = None
        self._progress_at = self._looked_at = 0.0
        self._log_start = 0

    @property
    def is_ours(self) -> bool:
        return self._child is not None

    def ensure(self, progress: object) -> None:
        """Starts a worker where there is none. `progress` is any value that changes as jobs are taken or
        done. Raises WorkerError after three deaths in a row without progress."""
        now = time.monotonic()
        if progress != self._progress:
            self._progress, self._progress_at, self._deaths = progress, now, 0
        if self._child is not None and not self._child.is_running:
            self._count_death(self._child)
        if self._child is None and now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            self._start_if_needed(is_idle=now - self._progress_at > _OTHERS_IDLE_SECONDS)

    def stop(self, *, is_hurried: bool) -> None:
        """Stops our worker: it finishes its documents, or where it is hurried releases them."""
        if self._child is not None:
            self._child.stop(self._grace_seconds, is_hurried=is_hurried)
            self._child = None

    @property
    def _grace_seconds(self) -> float:
        return self._settings.stop_seconds + _GRACE_SECONDS

    def _start_if_needed(self, *, is_idle: bool) -> None:
        lock = file_locks.try_lock(worker_lock_path(self._settings, self._serving_id))
        if lock is None:
            return
        try:
            if self._may_be_elsewhere and not is_idle and is_worker_alive(self._settings):
                return
            log = worker_log_path(self._settings)
            self._log_start = child_process.size_after_start(log)
            self._child = child_process.start(
                worker_arguments(self._settings),
                environment=worker_environment(self._settings),
                log=log,
                grace_seconds=self._grace_seconds,
                kept=(lock,),
            )
        finally:
            os.close(lock)

    def _count_death(self, child: child_process.Child) -> None:
        child.close()
        self._child = None
        self._looked_at = 0.0
        self._deaths += 1
        if self._deaths >= _DEATHS:
            exit_words = child_process.exit_status_words(child.process.returncode)
            words = _startup_error(child.log, self._log_start)
            raise WorkerError(
                f"the worker died {_DEATHS} times without getting anywhere, last {exit_words};"
                f" {f'it said: {words}; ' if words else ''}its log: {child.log}"
            )


def _startup_error(log: Path, start: int) -> str:
    """The message for the operator that a dead worker left in its log; '' without one."""
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode("utf-8", "replace").splitlines()
    messages = [line.partition(_CANNOT_START)[2] for line in lines if _CANNOT_START in line]
    return messages[-1].strip() if messages else ""


def worker_arguments(settings: Settings) -> list[str]:
    """The command line of a worker process."""
    from worker.queue.worker_command import worker_command

    return worker_command(settings)


def worker_environment(settings: Settings) -> dict[str, str]:
    """The environment of a worker process: these settings, and the path of our packages."""
    others = as_environment(settings)
    paths = [str(_ROOT), *filter(None, others.get("PYTHONPATH", "").split(os.pathsep))]
    return others | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), "PYTHONUNBUFFERED": "1"}


def worker_log_path(settings: Settings) -> Path:
    return settings.home_folder / "logs" / "worker.log"


def worker_lock_path(settings: Settings, serving_id: str) -> Path:
    """Path of the lock for a serving and a Redis server; the worker of this machine holds it."""
    redis = hashlib.sha256(settings.redis_url.get_secret_value().encode()).hexdigest()[:8]
    return settings.home_folder / "locks" / f"worker-{serving_id}-{redis}"
