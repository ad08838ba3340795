"""Prometheus metrics of a worker, collected on each scrape: numbers and task names, never text.

Every worker counts the queue in SQL, so alarms take the maximum over workers, not the sum.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from models.answers import Task
from models.errors import NotemillError
from models.queries.owed_jobs import Backlog
from models.schema.database import DatabaseUnavailableError
from models.usage import USAGE_FIELDS, Usage
from worker.telemetry.outcome_counters import BUCKETS_SECONDS, OutcomeCounters

_SECONDS_BETWEEN_COUNTS = 10.0
_Metric = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
_TOKENS = tuple(name for name in USAGE_FIELDS if name.endswith("_tokens"))
_SECONDS = tuple(name for name in USAGE_FIELDS if name.endswith("_seconds"))


class MetricsError(NotemillError):
    """The metrics cannot be served."""


class WorkerMetrics(Collector):
    """Metrics of one worker process, and of the jobs owed to all workers."""

    def __init__(
        self,
        *,
        usage: Callable[[], Usage],
        outcome_counters: OutcomeCounters,
        documents_in_flight: Callable[[], int],
        count_waiting: Callable[[], Backlog],
    ) -> None:
        self._usage, self._outcome_counters, self._in_progress = usage, outcome_counters, documents_in_flight
        self._count_waiting = count_waiting
        self._lock = threading.Lock()
        self._waiting: Backlog | None = None
        self._counted_at = -_SECONDS_BETWEEN_COUNTS

    def describe(self) -> list[_Metric]:
        """Returns nothing, so that the registry does not collect, and count in SQL, to learn the names."""
        return []

    def collect(self) -> Iterator[_Metric]:
        """All metrics as of now; the queue as of some seconds ago."""
        yield from _usage_metrics(self._usage())
        yield from _outcome_metrics(self._outcome_counters)
        yield _gauge("documents_in_hand", "Documents that this worker works on.", self._in_progress())
        waiting = self._owed()
        if waiting is not None:  # None: the database does not answer, and an old number would mislead
            for name, by_task in (("waiting", waiting.pending), ("running", waiting.running)):
                metric = GaugeMetricFamily(
                    f"notemill_jobs_{name}", f"Jobs {name}, in SQL, of all workers.", labels=["task"]
                )
                for task in Task:
                    metric.add_metric([task.value], by_task.get(task, 0))
                yield metric
            yield _gauge("oldest_waiting_seconds", "Age of the oldest job waiting.", waiting.oldest_seconds)

    def _owed(self) -> Backlog | None:
        with self._lock:
            if time.monotonic() - self._counted_at >= _SECONDS_BETWEEN_COUNTS:
                self._counted_at = time.monotonic()
                try:
                    self._waiting = self._count_waiting()
                except DatabaseUnavailableError:
                    self._waiting = None
            return self._waiting


def serve_metrics(figures: WorkerMetrics, address: str) -> Callable[[], None]:
    """Serves `/metrics` on HOST:PORT until the returned function is called. Raises MetricsError."""
    registry = CollectorRegistry()
    registry.register(figures)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    host, _, port = address.rpartition(":")
    try:
        server, _ = start_http_server(int(port), host.strip("[]"), registry)
    except (OSError, OverflowError) as error:
        raise MetricsError(
            f"cannot listen on {address}: {error}; set NOTEMILL_METRICS_ADDRESS to a free HOST:PORT"
        ) from None

    def stop() -> None:
        server.shutdown()
        server.server_close()

    return stop


def _usage_metrics(usage: Usage) -> Iterator[_Metric]:
    seconds = CounterMetricFamily(
        "notemill_spent_seconds", "Where this worker's time went; see v_run_spending.", labels=["activity"]
    )
    for name in _SECONDS:
        seconds.add_metric([name.removesuffix("_seconds")], getattr(usage, name))
    yield seconds
    tokens = CounterMetricFamily("notemill_tokens", "Tokens by kind; see v_run_spending.", labels=["kind"])
    for name in _TOKENS:
        tokens.add_metric([name.removesuffix("_tokens")], getattr(usage, name))
    yield tokens
    for name, words in (
        ("requests", "Prompts that the engine was asked."),
        ("steps", "Passes through the network."),
        ("rows_stepped", "Rows in all passes; by steps: how full batches are."),
    ):
        yield CounterMetricFamily(f"notemill_{name}", words, value=getattr(usage, name))


def _outcome_metrics(outcome_counters: OutcomeCounters) -> Iterator[_Metric]:
    ended = CounterMetricFamily(
        "notemill_jobs_ended", "Jobs by task and outcome.", labels=["task", "outcome"]
    )
    for (task, outcome), count in sorted(outcome_counters.ended.items()):
        ended.add_metric([task.value, outcome], count)
    yield ended
    yield CounterMetricFamily(
        "notemill_surprises", "Attempts that ended in an exception.", value=outcome_counters.unexpected_errors
    )
    took = HistogramMetricFamily("notemill_job_seconds", "Of the work itself, by task.", labels=["task"])
    names = [*map(str, BUCKETS_SECONDS), "+Inf"]
    for task, durations in outcome_counters.durations.items():
        buckets = list(zip(names, accumulate(durations.counts), strict=True))
        took.add_metric([task.value], buckets, durations.total_seconds)
    yield took


def _gauge(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"notemill_{name}", words, value=value)
