"""Prometheus metrics of a real worker, and those that the dashboard and the alerts query."""

from __future__ import annotations

import json
import re
import socket
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from models.answers import Task
from models.outcomes import Failed, Reason
from models.queries.owed_jobs import Backlog, backlog
from models.schema.database import DatabaseUnavailableError
from models.settings import load_settings
from models.usage import Usage
from worker.telemetry.outcome_counters import OutcomeCounters
from worker.telemetry.prometheus_metrics import MetricsError, WorkerMetrics, serve_metrics

if TYPE_CHECKING:
    from workshop import Workshop

pytest_plugins = ("redis_server", "workshop")
ROOT = Path(__file__).parents[3]
Samples = dict[tuple[str, tuple[str, ...]], float]


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


def read(address: str) -> Samples:
    """Reads the metrics by name and label values; labels are sorted by their names."""
    with urllib.request.urlopen(f"http://{address}/metrics") as response:
        families = list(text_string_to_metric_families(response.read().decode()))
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def worker_metrics(outcome_counters: OutcomeCounters, count_waiting: object = None) -> WorkerMetrics:
    owed = Backlog(pending={Task.SEARCH: 7}, running={}, oldest_seconds=3.5)
    return WorkerMetrics(
        usage=lambda: Usage(prefill_seconds=1.5, prefill_tokens=20),
        outcome_counters=outcome_counters,
        documents_in_flight=lambda: 2,
        count_waiting=count_waiting or (lambda: owed),  # type: ignore[arg-type]
    )


@pytest.fixture
def samples() -> Samples:
    """Returns the metrics of a worker with one failed job."""
    outcome_counters, address = OutcomeCounters(), free_address()
    outcome_counters.end(Task.SEARCH, Failed(reason=Reason.TIMED_OUT, duration_seconds=2.0))
    stop = serve_metrics(worker_metrics(outcome_counters), address)
    metric_values = read(address)
    stop()
    return metric_values


def test_a_worker_serves_metrics_of_its_jobs_without_text_of_notes(workshop: Workshop) -> None:
    address = free_address()
    workshop.submit("Fever since Monday.", "CRASH", queries=("fever",))
    workshop.register("Waits.", queries=("fever",))
    worker = workshop.start(metrics_address=address, seconds=0)
    worker.says("serves")
    workshop.until(lambda: read(address).get(("notemill_jobs_ended_total", ("finished", "search"))))
    workshop.until(lambda: read(address).get(("notemill_surprises_total", ())))
    metric_values = read(address)
    assert metric_values["notemill_job_seconds_count", ("search",)] >= 1
    assert metric_values["notemill_spent_seconds_total", ("load",)] > 0
    assert metric_values["process_resident_memory_bytes", ()] > 2**20
    assert not {word for word in ("Fever", "fever", "Monday") if word in str(metric_values)}


def test_metrics_show_the_outcome_counters_the_usage_meter_and_the_backlog(samples: Samples) -> None:
    assert samples["notemill_jobs_ended_total", ("timed_out", "search")] == 1
    assert samples["notemill_job_seconds_bucket", ("1.0", "search")] == 0
    assert samples["notemill_job_seconds_bucket", ("3.0", "search")] == 1
    assert samples["notemill_spent_seconds_total", ("prefill",)] == 1.5
    assert samples["notemill_tokens_total", ("prefill",)] == 20
    assert samples["notemill_jobs_waiting", ("search",)] == 7
    assert samples["notemill_jobs_waiting", ("summary",)] == 0
    assert samples["notemill_oldest_waiting_seconds", ()] == 3.5
    assert samples["notemill_documents_in_hand", ()] == 2


def test_an_unavailable_database_removes_only_the_backlog_metrics() -> None:
    def unavailable() -> Backlog:
        raise DatabaseUnavailableError("no")

    names = {metric.name for metric in worker_metrics(OutcomeCounters(), unavailable).collect()}
    assert "notemill_spent_seconds" in names
    assert "notemill_jobs_waiting" not in names


def test_an_address_in_use_is_an_error_that_says_what_to_type() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(MetricsError, match="METRICS_ADDRESS"),
    ):
        serve_metrics(worker_metrics(OutcomeCounters()), f"127.0.0.1:{listener.getsockname()[1]}")


def test_the_backlog_is_counted_by_task_with_the_age_of_its_oldest_job(workshop: Workshop) -> None:
    assert backlog(workshop.database) == Backlog(pending={}, running={}, oldest_seconds=0)
    workshop.register("one", "two", queries=("fever", "pain"))
    owed = backlog(workshop.database)
    assert (owed.pending, owed.running) == ({Task.SEARCH: 4}, {})
    assert 0 <= owed.oldest_seconds < 60


def test_no_metrics_are_served_unless_an_address_is_set() -> None:
    assert load_settings().metrics_address == ""


def test_dashboard_and_alerts_query_existing_metrics(samples: Samples) -> None:
    alerts = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text("utf-8"))
    rules = [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    dashboard = json.loads((ROOT / "deploy/grafana/notemill.json").read_text("utf-8"))
    panels = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    queried = set(re.findall(r"\b((?:notemill|process)_\w+)", " ".join([*rules, *panels])))
    assert len(rules) >= 5
    assert len(panels) >= 8
    assert queried - {name for name, _ in samples} == set()
