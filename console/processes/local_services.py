"""Local services of `run`: Redis and a worker, started when the first job is owed and stopped at the end."""

from __future__ import annotations

from console.processes.embedded_redis import EmbeddedRedis, start_redis, with_redis
from console.processes.worker_process import WorkerProcess
from console.terminal.progress_bar import ProgressOutput
from models.settings import Settings


class LocalServices:
    """A Redis server and a worker; servers and workers of others are used and left alone."""

    def __init__(self, settings: Settings, serving_id: str, reporter: ProgressOutput) -> None:
        self._settings = settings
        self._serving_id = serving_id
        self._reporter = reporter
        self._redis: EmbeddedRedis | None = None
        self._worker: WorkerProcess | None = None

    def ensure_running(self, progress: object) -> None:
        """Starts the missing services. `progress` is any value that changes as jobs are taken and done.

        Raises RedisError or WorkerError if a service does not stay up.
        """
        if self._settings.is_redis_embedded and (self._redis is None or not self._redis.is_running):
            self._redis = start_redis(self._settings)
        if self._worker is None:
            served = with_redis(self._settings, self._redis.url) if self._redis else self._settings
            is_ours_alone = self._redis is not None and self._redis.child is not None
            self._worker = WorkerProcess(served, self._serving_id, may_be_elsewhere=not is_ours_alone)
            self._reporter.say("Starting the worker; it loads the weights first.")
        self._worker.ensure(progress)

    def stop(self, *, is_hurried: bool = False) -> None:
        """Stops the services that were started here: the worker first, so that it releases its documents."""
        try:
            if self._worker is not None:
                self._worker.stop(is_hurried=is_hurried)
        finally:
            self._worker = None
            if self._redis is not None:
                self._redis.stop()
                self._redis = None
