"""Sweeper and heartbeat: owed documents are sent again, and leases are renewed in spite of failures."""

from __future__ import annotations

import json
import threading
import time
from base64 import b64decode
from typing import TYPE_CHECKING

import pytest
from celery import Celery
from making import claimed, documents, submit
from redis_server import NIGHTLY_LIST
from sqlalchemy import Engine, select, text
from workshop import until

from models.messages import QUEUE_NAME
from models.schema.database import DatabaseUnavailableError, read_transaction, write_transaction
from models.schema.tables import RunRow
from models.store.store import Store
from worker.queue import sweeper as sweeping
from worker.queue.heartbeat import Heartbeat
from worker.queue.startup import warn_about_eviction
from worker.queue.sweeper import Sweeper, queue_length, sweep
from worker.telemetry.usage_accounting import UsageAccounting
from worker.telemetry.usage_meter import UsageMeter

if TYPE_CHECKING:
    from workshop import Workshop

pytest_plugins = ("redis_server", "workshop")


def sent_document_ids(workshop: Workshop) -> list[object]:
    lists = (QUEUE_NAME, NIGHTLY_LIST)
    entries = [json.loads(entry) for name in lists for entry in workshop.redis.lrange(name, 0, -1)]
    return sorted(json.loads(b64decode(entry["body"]))[1]["document_id"] for entry in entries)


def sweep_once(workshop: Workshop) -> int:
    return sweep(workshop.stranger(), workshop.database, None)


def test_owed_documents_are_sent_when_the_queue_is_empty(workshop: Workshop) -> None:
    ids = workshop.register("No fever.", "Mild pain.")
    assert sweep_once(workshop) == 2
    assert sent_document_ids(workshop) == ids
    assert queue_length(workshop.stranger()) == 2


def test_nothing_is_sent_while_messages_wait(workshop: Workshop) -> None:
    workshop.register("No fever.")
    workshop.send(document_id=99)
    assert sweep_once(workshop) == 0
    assert sent_document_ids(workshop) == [99]


def test_a_waiting_message_with_a_priority_counts(workshop: Workshop) -> None:
    workshop.stranger().send_task("any", queue=QUEUE_NAME, priority=9)
    assert queue_length(workshop.stranger()) == 1


def test_a_document_sent_a_moment_ago_is_not_sent_again(workshop: Workshop) -> None:
    workshop.register("No fever.")
    assert [sweep_once(workshop), workshop.redis.delete(NIGHTLY_LIST), sweep_once(workshop)] == [1, 1, 0]


def test_documents_for_another_serving_are_not_sent(workshop: Workshop) -> None:
    workshop.register("No fever.")
    assert sweep(workshop.stranger(), workshop.database, "another serving") == 0


def test_the_sweeper_goes_on_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "SWEEP_SECONDS", 0.01)
    calls, is_enough = [], threading.Event()

    def fail() -> int:
        calls.append(1)
        if len(calls) == 3:
            is_enough.set()
        raise ConnectionError("Redis is away")

    sweeper = Sweeper(fail)
    assert is_enough.wait(10)
    sweeper.stop()


def test_the_heartbeat_goes_on_after_a_failure(workshop: Workshop) -> None:
    beats, is_enough = [], threading.Event()

    class Away(Store):
        def renew(self, worker: str, lease_seconds: float) -> int:
            beats.append((worker, lease_seconds))
            if len(beats) == 3:
                is_enough.set()
            raise DatabaseUnavailableError("away")

    store = Away(workshop.database)
    heartbeat = Heartbeat(store, "w", 0.03, UsageAccounting(UsageMeter(), store))
    assert is_enough.wait(10)
    heartbeat.stop()
    assert set(beats) == {("w", 0.03)}


def test_the_heartbeat_retries_soon_after_a_failure(workshop: Workshop) -> None:
    beats, is_enough = [], threading.Event()

    class Away(Store):
        def renew(self, worker: str, lease_seconds: float) -> int:
            beats.append(time.monotonic())
            if len(beats) == 3:
                is_enough.set()
            raise DatabaseUnavailableError("away")

    store = Away(workshop.database)
    heartbeat = Heartbeat(store, "w", 6, UsageAccounting(UsageMeter(), store))
    assert is_enough.wait(10)
    heartbeat.stop()
    assert beats[2] - beats[0] < 3


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
def test_leases_are_renewed_while_usage_waits_for_a_locked_run(
    store_url: str, store: Store, engine: Engine
) -> None:
    _, registered = submit(store, documents("note"))
    jobs = claimed(store, registered.owed_document_ids[0], "w").jobs
    usage_accounting = UsageAccounting(UsageMeter(), store)
    with usage_accounting.attribute_to(jobs), write_transaction(engine) as locking_connection:
        locking_connection.execute(select(RunRow.id).with_for_update())
        heartbeat = Heartbeat(store, "w", 1, usage_accounting)
        until(lambda: "UPDATE runs" in waiting_statements(engine))
        before = lease_ends(engine)
        until(lambda: lease_ends(engine) > before)
    heartbeat.stop()


def lease_ends(engine: Engine) -> float:
    with read_transaction(engine) as connection:
        return float(connection.scalars(text("SELECT lease_until_epoch FROM jobs")).one())


def waiting_statements(engine: Engine) -> str:
    """Returns the statements that wait for a lock in this database."""
    statement = "SELECT query FROM pg_stat_activity WHERE datname = current_database()"
    with read_transaction(engine) as connection:
        return "".join(connection.scalars(text(f"{statement} AND wait_event_type = 'Lock'")))


@pytest.mark.parametrize(("policy", "is_warned"), [("allkeys-lru", True), ("noeviction", False)])
def test_a_redis_that_can_evict_messages_causes_a_warning(
    workshop: Workshop, caplog: pytest.LogCaptureFixture, policy: str, is_warned: bool
) -> None:
    workshop.redis.config_set("maxmemory-policy", policy)
    app: Celery = workshop.stranger()
    warn_about_eviction(app)
    workshop.redis.config_set("maxmemory-policy", "noeviction")
    assert ("set it to noeviction" in caplog.text) == is_warned
