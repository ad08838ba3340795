"""A worker's figures for Prometheus: what a real worker tells, and what dashboards and alarms ask for."""

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
    """By name and the values of the labels, which are sorted by their own names."""
    with urllib.request.urlopen(f"http://{address}/metrics") as response:
        families = list(text_string_to_metric_families(response.read().decode()))
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def figures(outcome_counters: OutcomeCounters, count_waiting: object = None) -> WorkerMetrics:
    owed = Backlog(pending={Task.SEARCH: 7}, running={}, oldest_seconds=3.5)
    return WorkerMetrics(
        usage=lambda: Usage(prefill_seconds=1.5, prefill_tokens=20),
        outcome_counters=outcome_counters,
        documents_in_flight=lambda: 2,
        count_waiting=count_waiting or (lambda: owed),  # type: ignore[arg-type]
    )


@pytest.fixture
def samples() -> Samples:
    """Of a worker with one failed job."""
    outcome_counters, address = OutcomeCounters(), free_address()
    outcome_counters.end(Task.SEARCH, Failed(reason=Reason.TIMED_OUT, duration_seconds=2.0))
    stop = serve_metrics(figures(outcome_counters), address)
    found = read(address)
    stop()
    return found


def test_a_worker_tells_what_it_has_done(workshop: Workshop) -> None:
    address = free_address()
    workshop.submit("Fever since Monday.", "CRASH", queries=("fever",))
    workshop.register("Waits.", queries=("fever",))
    worker = workshop.start(metrics_address=address, seconds=0)
    worker.says("serves")
    workshop.until(lambda: read(address).get(("notemill_jobs_ended_total", ("finished", "search"))))
    workshop.until(lambda: read(address).get(("notemill_surprises_total", ())))
    found = read(address)
    assert found["notemill_job_seconds_count", ("search",)] >= 1
    assert found["notemill_spent_seconds_total", ("load",)] > 0
    assert found["process_resident_memory_bytes", ()] > 2**20
    assert not {word for word in ("Fever", "fever", "Monday") if word in str(found)}


def test_figures_are_those_of_the_tally_the_meter_and_the_queue(samples: Samples) -> None:
    assert samples["notemill_jobs_ended_total", ("timed_out", "search")] == 1
    assert samples["notemill_job_seconds_bucket", ("1.0", "search")] == 0
    assert samples["notemill_job_seconds_bucket", ("3.0", "search")] == 1
    assert samples["notemill_spent_seconds_total", ("prefill",)] == 1.5
    assert samples["notemill_tokens_total", ("prefill",)] == 20
    assert samples["notemill_jobs_waiting", ("search",)] == 7
    assert samples["notemill_jobs_waiting", ("summary",)] == 0
    assert samples["notemill_oldest_waiting_seconds", ()] == 3.5
    assert samples["notemill_documents_in_hand", ()] == 2


def test_a_database_that_does_not_answer_takes_only_its_own_figures_away() -> None:
    def unavailable() -> Backlog:
        raise DatabaseUnavailableError("no")

    names = {metric.name for metric in figures(OutcomeCounters(), unavailable).collect()}
    assert "notemill_spent_seconds" in names
    assert "notemill_jobs_waiting" not in names


def test_an_address_that_is_taken_says_what_to_type() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(MetricsError, match="METRICS_ADDRESS"),
    ):
        serve_metrics(figures(OutcomeCounters()), f"127.0.0.1:{taken.getsockname()[1]}")


def test_what_is_owed_is_counted_by_task_with_the_age_of_the_oldest(workshop: Workshop) -> None:
    assert backlog(workshop.database) == Backlog(pending={}, running={}, oldest_seconds=0)
    workshop.register("one", "two", queries=("fever", "pain"))
    owed = backlog(workshop.database)
    assert (owed.pending, owed.running) == ({Task.SEARCH: 4}, {})
    assert 0 <= owed.oldest_seconds < 60


def test_no_figures_are_served_unless_an_address_is_set() -> None:
    assert load_settings().metrics_address == ""


def test_dashboard_and_alarms_ask_for_figures_that_there_are(samples: Samples) -> None:
    alerts = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text("utf-8"))
    rules = [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    dashboard = json.loads((ROOT / "deploy/grafana/notemill.json").read_text("utf-8"))
    panels = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    asked = set(re.findall(r"\b((?:notemill|process)_\w+)", " ".join([*rules, *panels])))
    assert len(rules) >= 5
    assert len(panels) >= 8
    assert asked - {name for name, _ in samples} == set()
