"""`notemill worker` and `submit` together, with the embedded and with external Redis and PostgreSQL."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import making
import pytest
from redis_server import NIGHTLY_LIST
from workshop import until

from console.processes.embedded_redis import embedded_url
from console.processes.redis_client import connect, ping
from console.terminal.opened_database import database
from models.settings import load_settings

if TYPE_CHECKING:
    from commands import Notemill

pytest_plugins = ("commands", "redis_server")


def test_a_worker_starts_redis_answers_submitted_jobs_and_stops_redis_at_its_end(notemill: Notemill) -> None:
    notemill.write(one="Fever.", two="Cough.")
    worker = notemill.start("worker")
    until(lambda: (notemill.home / "loaded").exists())
    assert notemill("submit", notemill.notes, "--search", "fever") == 0
    assert "wait for a worker" not in notemill.err
    assert notemill("status", 1, "--watch") == 0
    assert notemill.json("status", 1)["finished"] == 2
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=30)
    assert worker.returncode == 0
    until(lambda: not ping(embedded_url(load_settings())), 10)


def test_a_run_uses_the_running_worker_and_does_not_stop_it(notemill: Notemill) -> None:
    notemill.write(one="Fever.")
    worker = notemill.start("worker")
    until(lambda: (notemill.home / "loaded").exists())
    assert notemill("run", notemill.notes, "--search", "fever") == 0
    assert worker.poll() is None
    assert notemill.workers() == [worker.pid]
    assert not (notemill.home / "logs" / "worker.log").exists()


def test_a_worker_answers_jobs_submitted_before_its_start(notemill: Notemill) -> None:
    notemill.write(one="Fever.")
    notemill("submit", notemill.notes, "--search", "fever")
    notemill.start("worker")
    assert notemill("status", 1, "--watch") == 0
    assert notemill.json("status", 1)["finished"] == 1


def test_the_doctor_and_status_see_a_worker_that_answers(notemill: Notemill) -> None:
    worker = notemill.start("worker")
    until(lambda: (notemill.home / "loaded").exists())
    until(lambda: notemill("doctor") == 0 and "1 answering" in notemill.out, 20)
    assert "embedded, running: Valkey" in notemill.out
    assert worker.poll() is None


def test_a_run_on_postgresql_and_an_external_redis_leaves_both_running(
    notemill: Notemill, empty_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    notemill.write(one="Fever.", two="Cough.")
    monkeypatch.setenv("NOTEMILL_DATABASE_URL", empty_url)
    monkeypatch.setenv("NOTEMILL_REDIS_URL", redis_url)
    report = notemill.json("run", notemill.notes, "--search", "fever")
    assert report["jobs"]["finished"] == 2
    assert ping(redis_url)
    assert not (notemill.home / "redis.sock").exists()
    assert notemill("sql", "SELECT COUNT(*) AS n FROM v_jobs WHERE status = 'finished'") == 0
    assert "(1 row)" in notemill.out
    assert notemill("sql", "DELETE FROM documents") == 2


def test_a_machine_without_weights_submits_for_the_worker_that_announced_itself(
    notemill: Notemill, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    notemill.write(one="Fever.")
    monkeypatch.setenv("NOTEMILL_REDIS_URL", redis_url)
    monkeypatch.setenv("NOTEMILL_WEIGHTS", "smollm2-135m")
    assert notemill("submit", notemill.notes, "--search", "fever") == 2
    assert "no worker has announced what it serves" in notemill.err
    with database(load_settings()) as opened:
        opened.store.announce(making.a_serving())
    assert notemill("submit", notemill.notes, "--search", "fever") == 0
    assert connect(redis_url).llen(NIGHTLY_LIST) == 1


def test_a_redis_that_does_not_answer_is_an_error_that_names_the_setting(
    notemill: Notemill, monkeypatch: pytest.MonkeyPatch
) -> None:
    notemill.write(one="Fever.")
    monkeypatch.setenv("NOTEMILL_REDIS_URL", "redis://127.0.0.1:1/0")
    assert notemill("run", notemill.notes, "--search", "fever") == 1
    assert "NOTEMILL_REDIS_URL" in notemill.err.splitlines()[-1]
