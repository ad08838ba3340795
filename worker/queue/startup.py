"""Startup and shutdown of a worker process, as a Celery bootstep around the message loop.

Celery starts its consumer after all other steps, so no message is taken before the weights are loaded; it
stops the consumer first, so none is taken after the shutdown began.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import Celery, bootsteps
from celery.worker import state
from redis.exceptions import RedisError

from models.errors import NotemillError
from models.host import disable_core_dumps
from models.migrations import schema_version
from models.queries.owed_jobs import Backlog, backlog
from models.queries.patient_names import patient_names_of
from models.queries.queries import Queries
from models.security.open_database import open_database
from models.settings import Settings
from models.store.store import Store
from models.tracing import Traces
from worker.engine.memory.malloc import return_freed_memory
from worker.queue.dedicated_pollers import Poller, quarantine_poller, urgent_poller
from worker.queue.document_tracing import DocumentTraces
from worker.queue.heartbeat import Heartbeat
from worker.queue.shutdown import ShutdownRequest, exit_on_signals, request_shutdown_on_signals
from worker.queue.sweeper import Sweeper, queue_length, sweep
from worker.queue.watchdog import Watchdog
from worker.queue.worker_context import WorkerContext
from worker.queue.worker_identity import is_dead, worker_name
from worker.telemetry.safe_logging import where
from worker.telemetry.thread_dump import dump_threads_on_signal
from worker.telemetry.usage_accounting import UsageAccounting
from worker.telemetry.usage_meter import UsageMeter

log = logging.getLogger(__name__)

_ABANDON_SECONDS = 5.0
"""Time for threads to notice that they must abandon their document."""
_FORCED_EXIT_SECONDS = 15.0
"""Time after which the process exits in any case: a call into the GPU cannot be interrupted."""


class Start(bootsteps.StartStopStep):  # type: ignore[misc]
    """Runs before the first message: loads weights, announces them, frees leases of dead workers, starts
    threads."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._context: WorkerContext | None = None
        self._close_engine: Callable[[], None] = lambda: None
        self._heartbeat: Heartbeat | None = None
        self._sweeper: Sweeper | None = None
        self._watchdog: Watchdog | None = None
        self._pollers: tuple[Poller, ...] = ()
        self._stop_metrics: Callable[[], None] = lambda: None

    def start(self, worker: Any) -> None:
        """Raises SystemExit(1), after one log line, where the worker cannot start."""
        exit_on_signals()
        disable_core_dumps()
        dump_threads_on_signal()
        return_freed_memory()
        self._watchdog = Watchdog(worker.app.settings, worker_name())
        try:
            self._open(worker.app)
        except NotemillError as error:
            log.critical("the worker cannot start: %s", error)
            raise SystemExit(1) from None
        except Exception as error:  # noqa: BLE001  no note has been read yet: the text is safe to log
            text = str(error).strip().partition("\n")[0]
            log.critical("the worker cannot start: %s: %s (%s)", type(error).__name__, text, where(error))
            raise SystemExit(1) from None

    def stop(self, _worker: Any) -> None:
        """Lets documents in progress finish for `stop_seconds`, then releases their jobs."""
        context = self._context
        if context is None or self._sweeper is None or self._heartbeat is None:
            return
        self._sweeper.stop()
        for poller in self._pollers:
            poller.stop()
        shutdown, in_flight = context.shutdown, context.in_flight
        if not shutdown.is_requested:
            shutdown.request()
        allowed_seconds = context.settings.stop_seconds
        log.info("shutdown requested: documents in progress may finish within %g s", allowed_seconds)
        while not (
            in_flight.is_empty or shutdown.is_immediate or shutdown.seconds_since_request > allowed_seconds
        ):
            time.sleep(0.05)
        shutdown.expedite()
        abandon_deadline = time.monotonic() + _ABANDON_SECONDS
        while not in_flight.is_empty and time.monotonic() < abandon_deadline:
            time.sleep(0.05)
        _force_exit_after(_FORCED_EXIT_SECONDS)
        self._stop_metrics()
        self._heartbeat.stop()
        given_back = context.store.release_claims(context.name)
        log.info("worker %s stops; %d jobs released", context.name, given_back)
        if self._watchdog is not None:
            self._watchdog.forget()
        context.tracing.traces.close()
        self._close_engine()  # waits for the batch in progress, at most until the forced exit

    terminate = stop

    def _open(self, app: Any) -> None:
        settings: Settings = app.settings
        from worker.recipe import serving  # imported late: a start that fails early need not wait for it

        database = open_database(settings)
        schema_version.check(database)
        store, name, served, meter = Store(database), worker_name(), serving(settings), UsageMeter()
        with meter.timing("load"):
            engine = app.load_engine(settings, meter)
        log.info("the %s engine is ready after %.1f s", settings.engine, meter.usage.load_seconds)
        self._close_engine = engine.close
        store.announce(served)
        for worker in filter(is_dead, Queries(database).busy_workers()):
            log.warning(
                "%d jobs of worker %s, which has ended, are free", store.expire_leases(worker), worker
            )
        warn_about_eviction(app)
        shutdown, usage_accounting = ShutdownRequest(), UsageAccounting(meter, store)
        self._context = app.context = WorkerContext(
            name,
            settings,
            served,
            engine,
            store,
            shutdown,
            exit_as_broken=partial(_end_message_loop, 1),
            meter=meter,
            usage_accounting=usage_accounting,
            tracing=DocumentTraces(
                Traces(settings.traces_url, service="notemill-worker", instance=name),
                Queries(database).traceparent_of,
            ),
            patient_names_of=partial(patient_names_of, database),
        )
        self._heartbeat = Heartbeat(store, name, settings.lease_seconds, usage_accounting)
        key = settings.message_key.get_secret_value()
        self._sweeper = Sweeper(partial(sweep, app, database, served.id, message_key=key))
        queries = Queries(database)
        self._pollers = urgent_poller(queries, self._context), quarantine_poller(queries, self._context)
        if self._watchdog is not None:
            self._watchdog.guard(
                self._context,
                count_waiting=partial(queue_length, app),
                check_tables=partial(schema_version.check, database),
                end=partial(_end_process, settings.stop_seconds + _ABANDON_SECONDS),
            )
        if settings.metrics_address:
            self._stop_metrics = _start_metrics_server(self._context, partial(backlog, database))
        request_shutdown_on_signals(shutdown, on_first=partial(_end_message_loop, 0))
        log.info("worker %s serves %s with %d threads", name, served.id, settings.worker_threads)


def _start_metrics_server(context: WorkerContext, count_waiting: Callable[[], Backlog]) -> Callable[[], None]:
    from worker.telemetry.prometheus_metrics import (  # off by default, and then not imported
        WorkerMetrics,
        serve_metrics,
    )

    metrics = WorkerMetrics(
        usage=lambda: context.meter.usage,
        outcome_counters=context.outcome_counters,
        documents_in_flight=lambda: context.in_flight.count,
        count_waiting=count_waiting,
    )
    log.info("Prometheus metrics on http://%s/metrics", context.settings.metrics_address)
    return serve_metrics(metrics, context.settings.metrics_address)


def _end_message_loop(exit_status: int) -> None:
    state.should_stop = exit_status


def _end_process(seconds: float) -> None:
    """Ends the message loop, and forces the exit where the loop does not react."""
    _end_message_loop(1)
    _force_exit_after(seconds + _FORCED_EXIT_SECONDS)


def _force_exit_after(seconds: float) -> None:
    timer = threading.Timer(seconds, os._exit, (1,))
    timer.daemon = True
    timer.start()


def warn_about_eviction(app: Celery) -> None:
    """Logs a warning where a full Redis drops old messages instead of refusing new ones.

    Nothing is lost either way, since the sweep sends them again; but it sends only to an empty queue.
    """
    with app.connection_for_write() as connection:
        client: Any = connection.default_channel.client
        try:
            policy = client.config_get("maxmemory-policy").get("maxmemory-policy", "noeviction")
        except RedisError:
            return  # managed servers refuse CONFIG
    if policy != "noeviction":
        log.warning("Redis has maxmemory-policy %s and may drop messages: set it to noeviction", policy)
