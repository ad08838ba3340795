"""Worker health: a worker reports whether it is alive and ready, and ends itself if it takes no messages."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from celery import Celery
from workshop import until

from console.manage.health import show_health
from models import health_file
from models.health_file import WorkerHealth
from models.messages import QUEUE_NAME
from models.schema.database import DatabaseUnavailableError
from models.settings import Settings
from worker.queue import watchdog
from worker.queue.shutdown import ShutdownRequest
from worker.queue.watchdog import Consumption
from worker.queue.worker_context import InFlightDocuments

if TYPE_CHECKING:
    from redis_server import RedisServer
    from workshop import Workshop

pytest_plugins = ("redis_server", "workshop")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def seconds_until_stalled(
    in_flight: InFlightDocuments, *, waiting: int = 1, taken_at: tuple[int, ...] = ()
) -> int | None:
    """Checks each second for a minute whether a worker with a limit of 10 seconds is stalled."""
    clock = Clock()
    consumption = Consumption(2, 10.0, clock)
    for second in range(60):
        clock.now = second
        in_flight.taken += second in taken_at
        if consumption.is_stalled(waiting=waiting, in_flight=in_flight):
            return second
    return None


def test_a_worker_that_takes_no_waiting_message_is_stalled() -> None:
    assert seconds_until_stalled(InFlightDocuments()) == 11


def test_a_worker_that_takes_messages_now_and_then_is_not_stalled() -> None:
    assert seconds_until_stalled(InFlightDocuments(), taken_at=(9, 18, 27, 36, 45, 54)) is None


@pytest.mark.parametrize("in_flight", [InFlightDocuments(count=2), InFlightDocuments(is_reserved=True)])
def test_a_worker_without_a_free_thread_is_not_stalled(in_flight: InFlightDocuments) -> None:
    assert seconds_until_stalled(in_flight) is None


def test_no_worker_is_stalled_while_the_queue_is_empty() -> None:
    assert seconds_until_stalled(InFlightDocuments(), waiting=0) is None


def test_a_worker_that_takes_no_messages_ends_and_another_does_its_work(workshop: Workshop) -> None:
    worker = workshop.start(stalled_seconds=1, stop_seconds=1)
    worker.says("serves")
    app: Celery = workshop.stranger()
    workshop.until(lambda: app.control.cancel_consumer(QUEUE_NAME, reply=True, timeout=5))
    workshop.submit("No fever.")
    assert worker.ends() != 0
    assert "messages wait and none was taken for 1 s" in worker.log
    workshop.start()
    workshop.until_all("finished")


def watched(
    home: Path, monkeypatch: pytest.MonkeyPatch, check_tables: Callable[[], None]
) -> tuple[InFlightDocuments, Event]:
    """Returns the documents in flight of a worker with a time limit of 0.2 seconds, and the event that its
    watchdog sets to end it."""
    monkeypatch.setattr(watchdog, "_OVERTIME_SECONDS", 0.1)
    monkeypatch.setattr(watchdog, "_TABLES_SECONDS", 0.0)
    monkeypatch.setattr(watchdog, "THREADS", frozenset())
    context, ended = SimpleNamespace(in_flight=InFlightDocuments(), shutdown=ShutdownRequest()), Event()
    worker_watchdog = watchdog.Watchdog(Settings(home=home, time_limit_seconds=0.1), "host:1:2")
    worker_watchdog.guard(
        cast(Any, context), count_waiting=lambda: 0, check_tables=check_tables, end=ended.set
    )
    return context.in_flight, ended


def test_a_worker_whose_document_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_flight, ended = watched(tmp_path, monkeypatch, check_tables=lambda: None)
    with in_flight.hold(ShutdownRequest()):
        assert ended.wait(30)


def test_a_document_that_waits_for_an_unavailable_database_does_not_end_the_worker(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checks: list[float] = []

    def away() -> None:
        checks.append(time.monotonic())
        raise DatabaseUnavailableError("away")

    in_flight, ended = watched(tmp_path, monkeypatch, check_tables=away)
    with in_flight.hold(ShutdownRequest()):
        until(lambda: len(checks) == 3)
        assert not ended.is_set()


@pytest.fixture
def serving(workshop: Workshop, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """Returns a workshop with a serving worker, on a Redis server that can be stopped."""
    workshop.redis_url = redis_server.url
    monkeypatch.setenv("NOTEMILL_HOME", str(workshop.folder))
    workshop.start().says("serves")
    return workshop


def is_ready() -> bool:
    return show_health(is_ready_asked=True, as_json=False) == 0


def is_alive() -> bool:
    return show_health(is_ready_asked=False, as_json=False) == 0


def test_a_worker_without_redis_is_alive_and_not_ready(
    serving: Workshop, redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    serving.until(is_ready)
    redis_server.stop()
    serving.until(lambda: not is_ready())
    assert is_alive()
    assert "waits for Redis" in capsys.readouterr().out


def test_the_health_file_of_a_hanging_worker_grows_old_and_that_of_an_ended_one_is_deleted(
    serving: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    serving.until(is_alive)
    (path,) = (serving.folder / "pulse").glob("*.json")
    serving.started[0].signal(signal.SIGSTOP)
    os.utime(path, (time.time() - 60, time.time() - 60))
    assert not is_alive()
    assert "no sign of life for 60 s" in capsys.readouterr().out
    serving.started[0].signal(signal.SIGCONT)
    serving.started[0].signal(signal.SIGTERM)
    assert serving.started[0].ends() == 0
    assert not path.exists()


def test_a_loading_worker_is_alive_and_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NOTEMILL_HOME", str(tmp_path))
    assert not is_alive()
    assert "type `notemill worker`" in capsys.readouterr().out
    health_file.write(
        Settings(home=tmp_path), WorkerHealth(name=f"{os.uname().nodename}:1:1", state="loading")
    )
    health_file.write(Settings(home=tmp_path), WorkerHealth(name="elsewhere:1:1", state="serving"))
    assert is_alive()
    assert not is_ready()
    capsys.readouterr()
    show_health(is_ready_asked=True, as_json=True)
    (health,) = json.loads(capsys.readouterr().out)
    assert (health["is_alive"], health["is_ready"], health["state"]) == (True, False, "loading")


def test_a_worker_ends_if_a_newer_notemill_has_migrated_the_tables(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import text

    from models.migrations import schema_version
    from models.schema.database import write_transaction

    workshop.register("No fever.")
    with write_transaction(workshop.database) as connection:
        connection.execute(text(f"UPDATE {schema_version.VERSION_TABLE} SET version_num = '9999'"))
    worker = workshop.start()
    assert worker.ends() == 1
    assert "newer notemill" in worker.log
    assert workshop.statuses() == ["pending"]
