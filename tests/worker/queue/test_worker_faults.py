"""Faults in and around a worker: no job is lost, and no job is answered twice."""

from __future__ import annotations

import os
import re
import signal
import time
from base64 import b64decode
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from tiny import write_tiny_weights

from models.messages import QUEUE_NAME
from models.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from redis_server import RedisServer
    from workshop import Workshop

pytest_plugins = ("redis_server", "workshop")

NOTES = tuple(f"Note {number}. No fever. Mild pain." for number in range(12))


def test_the_engine_is_loaded_before_the_first_message_is_taken(workshop: Workshop) -> None:
    workshop.submit("No fever.")
    workshop.start(load_seconds=1)
    workshop.until_all("finished")
    loaded_at, asked_at = (
        float((workshop.folder / name).read_text().split()[0]) for name in ("loaded", "answered")
    )
    assert workshop.column("SELECT started_at FROM attempts")
    assert loaded_at < asked_at


def test_messages_stay_in_redis_while_the_engine_loads(workshop: Workshop) -> None:
    workshop.submit("No fever.")
    worker = workshop.start(load_seconds=30)
    workshop.until((workshop.folder / "loading").exists)
    assert workshop.redis.llen(QUEUE_NAME) == 1
    worker.signal(signal.SIGTERM)
    assert worker.ends() == 0


def test_a_worker_whose_weights_do_not_load_ends_with_one_line(workshop: Workshop) -> None:
    (workshop.folder / "cannot_load").touch()
    worker = workshop.start()
    assert worker.ends() == 1
    assert len(worker.log.splitlines()) == 1
    assert "the worker cannot start: OSError: there are no weights here" in worker.log


def test_a_worker_without_tables_says_what_to_type(workshop: Workshop, tmp_path: Path) -> None:
    worker = workshop.start(database_url=SecretStr(f"sqlite:///{tmp_path / 'empty.db'}"))
    assert worker.ends() == 1
    assert "type `notemill db upgrade`" in worker.log


def test_a_worker_killed_mid_batch_loses_nothing_and_doubles_no_row(workshop: Workshop) -> None:
    workshop.submit(*NOTES, queries=("fever", "pain"))
    worker = workshop.start(seconds=0.5)
    workshop.until(lambda: workshop.answers_asked >= 2)
    worker.kill()
    assert "running" in workshop.statuses()
    workshop.start()
    workshop.until_all("finished")
    assert workshop.column("SELECT COUNT(*) FROM jobs") == [24]
    assert workshop.column("SELECT COUNT(*) FROM attempts WHERE ended_as = 'finished'") == [24]


def test_three_kills_while_twelve_notes_run_leave_twelve_answers(workshop: Workshop) -> None:
    workshop.submit(*NOTES)
    for kills in range(1, 4):
        worker = workshop.start(seconds=0.4)
        workshop.until(lambda kills=kills: workshop.answers_asked >= 3 * kills)
        worker.kill()
    workshop.start()
    workshop.until_all("finished")
    assert workshop.column("SELECT COUNT(*) FROM attempts WHERE ended_as = 'finished'") == [12]
    assert workshop.column("SELECT MAX(attempts) FROM jobs")[0] > 1


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
def test_a_worker_killed_mid_batch_loses_nothing_on_postgresql(store_url: str, workshop: Workshop) -> None:
    workshop.database_url = store_url
    workshop.submit(*NOTES)
    worker = workshop.start(seconds=0.3)
    workshop.until(lambda: workshop.answers_asked >= 5)
    worker.kill()
    workshop.start()
    workshop.until_all("finished")
    assert workshop.column("SELECT COUNT(*) FROM attempts WHERE ended_as = 'finished'") == [12]


def test_a_redis_flushed_in_the_middle_loses_nothing(workshop: Workshop) -> None:
    workshop.submit(*NOTES)
    worker = workshop.start(seconds=0.3)
    workshop.until(lambda: "finished" in workshop.statuses())
    workshop.redis.flushall()
    workshop.until_all("finished")
    worker.says("owed documents enqueued again")
    assert workshop.column("SELECT COUNT(*) FROM attempts") == [12]


def test_a_redis_that_is_down_for_a_while_loses_nothing(
    workshop: Workshop, redis_server: RedisServer
) -> None:
    workshop.redis_url = redis_server.url
    workshop.submit(*NOTES)
    workshop.start(seconds=0.3)
    workshop.until(lambda: "finished" in workshop.statuses())
    redis_server.stop()
    time.sleep(1)
    redis_server.start()
    workshop.until_all("finished")


def test_a_full_redis_does_not_end_a_worker_that_reconnects(
    workshop: Workshop, redis_server: RedisServer
) -> None:
    workshop.redis_url = redis_server.url
    worker = workshop.start()
    worker.says("serves")
    redis_server.client.config_set("maxmemory", "1")
    redis_server.client.client_kill_filter(_type="normal", skipme=True)
    worker.says("OutOfMemoryError")
    redis_server.client.config_set("maxmemory", "0")
    workshop.submit("No fever.")
    workshop.until_all("finished")
    assert worker.process.poll() is None


def test_a_document_registered_but_never_enqueued_is_found(workshop: Workshop) -> None:
    workshop.register("No fever.")
    workshop.start()
    workshop.until_all("finished")


def test_two_workers_share_the_notes_and_answer_each_once(workshop: Workshop) -> None:
    for _ in range(2):
        workshop.start(seconds=0.2, worker_threads=2)
    workshop.submit(*NOTES)
    workshop.until_all("finished")
    assert workshop.column("SELECT COUNT(*) FROM attempts") == [12]
    assert workshop.column("SELECT COUNT(DISTINCT worker) FROM attempts") == [2]


def test_sigterm_lets_the_documents_in_progress_finish(workshop: Workshop) -> None:
    workshop.submit(*NOTES)
    worker = workshop.start(seconds=1)
    workshop.until(lambda: workshop.answers_asked == 4)
    worker.signal(signal.SIGTERM)
    assert worker.ends() == 0
    assert sorted(workshop.statuses()) == ["finished"] * 4 + ["pending"] * 8


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_releases_the_documents_in_progress_without_counting_an_attempt(
    workshop: Workshop, number: int
) -> None:
    workshop.submit("Such notes HANG.", "No fever.")
    worker = workshop.start()
    workshop.until(lambda: sorted(workshop.statuses()) == ["finished", "running"])
    worker.signal(number)
    worker.says("shutdown requested")
    worker.signal(number)
    assert worker.ends() == 0
    assert sorted(workshop.statuses()) == ["finished", "pending"]
    assert workshop.column("SELECT attempts_forgiven FROM jobs WHERE status = 'pending'") == [1]


def test_a_document_that_does_not_finish_in_the_stop_time_is_released(workshop: Workshop) -> None:
    workshop.submit("Such notes HANG.")
    worker = workshop.start(stop_seconds=0.5)
    workshop.until(lambda: workshop.statuses() == ["running"])
    worker.signal(signal.SIGTERM)
    assert worker.ends() == 0
    assert workshop.statuses() == ["pending"]


def test_a_stopped_workers_messages_are_back_in_redis(workshop: Workshop) -> None:
    workshop.submit("Such notes HANG.", "No fever.")
    worker = workshop.start(stop_seconds=0, worker_threads=1)
    workshop.until(lambda: "running" in workshop.statuses())
    worker.signal(signal.SIGTERM)
    worker.ends()
    workshop.start(worker_threads=2)
    workshop.until(lambda: sorted(workshop.statuses()) == ["finished", "running"])


def test_a_document_over_its_time_limit_fails_and_the_worker_goes_on(workshop: Workshop) -> None:
    workshop.submit("Such notes HANG.", "No fever.")
    workshop.start(time_limit_seconds=1, worker_threads=1)
    workshop.until(lambda: workshop.statuses() == ["failed", "finished"])
    assert workshop.column("SELECT reason FROM jobs WHERE status = 'failed'") == ["timed_out"]


def test_a_worker_with_a_broken_engine_ends_and_fails_no_job(workshop: Workshop) -> None:
    workshop.submit(*(f"Such notes find it BROKEN {number}." for number in range(24)))
    worker = workshop.start()
    assert worker.ends() == 1
    assert "the worker ends" in worker.log
    assert set(workshop.statuses()) == {"pending"}


def test_a_busy_worker_answers_a_ping(workshop: Workshop) -> None:
    workshop.submit("Such notes HANG.")
    workshop.start(worker_threads=1)
    workshop.until(lambda: workshop.statuses() == ["running"])
    assert workshop.stranger().control.ping(timeout=5, limit=1)


def test_a_worker_with_real_weights_takes_over_from_a_killed_one(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # as outside of tests: batches are split over two cores
    workshop.weights = write_tiny_weights(workshop.folder / "tiny")
    workshop.submit(*NOTES)
    killed = workshop.start(seconds=0.5)
    workshop.until(lambda: workshop.answers_asked >= 4)
    killed.kill()
    worker = workshop.start(is_stand_in=False)
    workshop.until_all("finished")
    worker.signal(signal.SIGTERM)
    assert worker.ends() == 0


def test_a_note_that_kills_its_worker_fails_for_good(workshop: Workshop) -> None:
    workshop.submit("Such notes KILL.")
    assert workshop.start(max_kills=1).ends() == -signal.SIGKILL
    workshop.start(max_kills=1)
    workshop.until_all("failed")
    assert workshop.column("SELECT reason FROM jobs") == ["killed_worker"]


def test_a_note_that_kills_its_worker_fails_no_other_note(workshop: Workshop) -> None:
    workshop.submit(*NOTES, "Such notes KILL.")
    for _ in range(3):
        assert workshop.start(seconds=0.1, worker_threads=16).ends() == -signal.SIGKILL
    workshop.start(worker_threads=16)
    workshop.until(lambda: sorted(workshop.statuses()) == ["failed"] + ["finished"] * 12)
    assert workshop.column("SELECT kills FROM jobs WHERE status = 'failed'") == [3]
    assert workshop.column("SELECT MAX(attempts) FROM jobs WHERE status = 'finished'")[0] <= 2


def test_the_leases_of_a_dead_worker_on_this_machine_end_at_once(workshop: Workshop) -> None:
    workshop.submit("No fever.")
    workshop.start(seconds=30, lease_seconds=3600)
    workshop.until(lambda: workshop.statuses() == ["running"])
    workshop.started[0].kill()
    workshop.start(lease_seconds=3600)
    workshop.until_all("finished")


def test_a_living_workers_lease_is_renewed_and_its_job_is_not_taken(workshop: Workshop) -> None:
    workshop.submit("No fever.")
    workshop.start(seconds=4, lease_seconds=1)
    workshop.until(lambda: workshop.statuses() == ["running"])
    workshop.start(lease_seconds=1)
    workshop.until_all("finished")
    assert workshop.column("SELECT attempts FROM jobs") == [1]


def test_a_worker_that_was_asleep_cannot_overwrite_the_answer_of_another(workshop: Workshop) -> None:
    workshop.submit("No fever.")
    sleeper = workshop.start(seconds=2, lease_seconds=1)
    workshop.until(lambda: workshop.statuses() == ["running"])
    sleeper.signal(signal.SIGSTOP)
    workshop.start(lease_seconds=1)
    workshop.until_all("finished")
    sleeper.signal(signal.SIGCONT)
    sleeper.says("is too late")
    assert workshop.column("SELECT COUNT(*) FROM attempts WHERE ended_as = 'finished'") == [1]


def test_a_token_in_a_note_is_in_no_log_and_nowhere_in_redis(workshop: Workshop) -> None:
    token = os.urandom(8).hex()
    workshop.submit(f"Fever {token}.", f"Such notes CRASH {token}.", queries=(f"pain {token}",))
    worker = workshop.start(log_level="DEBUG", max_attempts=1)
    workshop.until(lambda: sorted(workshop.statuses()) == ["failed", "finished"])
    worker.signal(signal.SIGTERM)
    worker.ends()
    assert "ValueError" in worker.log
    assert token not in worker.log
    assert token not in everything_in(workshop)
    assert workshop.column(f"SELECT COUNT(*) FROM texts WHERE text LIKE '%{token}%'") == [2]


def test_a_token_in_a_note_is_not_in_a_waiting_or_unacknowledged_message(workshop: Workshop) -> None:
    token = os.urandom(8).hex()
    workshop.submit(*(f"Fever {token} {number}." for number in range(3)))
    workshop.start(seconds=30, worker_threads=1)
    workshop.until(lambda: "running" in workshop.statuses() and workshop.redis.exists("unacked"))
    redis_content = everything_in(workshop)
    assert '{"document_id": ' in redis_content
    assert token not in redis_content


def test_a_thread_dump_of_a_hanging_worker_shows_no_note(workshop: Workshop) -> None:
    token = os.urandom(8).hex()
    workshop.submit(f"Such notes HANG {token}.")
    worker = workshop.start(worker_threads=1)
    workshop.until(lambda: workshop.statuses() == ["running"])
    worker.signal(signal.SIGUSR1)
    worker.says("in process_document")
    assert token not in worker.log


def test_a_worker_goes_on_after_many_thread_dumps(workshop: Workshop) -> None:
    worker = workshop.start()
    worker.says("serves")
    workshop.submit(*(f"Fever {number}." for number in range(300)))
    for _ in range(500):
        worker.signal(signal.SIGUSR1)
        time.sleep(0.002)
    workshop.until_all("finished")
    worker.says("Thread MainThread")
    assert worker.process.poll() is None


def test_a_running_worker_finds_a_job_that_is_pending_only_in_sql(workshop: Workshop) -> None:
    worker = workshop.start()
    worker.says("serves")
    workshop.register(*NOTES)
    workshop.until_all("finished")
    assert not Store(workshop.database).renew("nobody", 1)


def everything_in(workshop: Workshop) -> str:
    """Returns every key and value in Redis, and their base64 parts decoded as well."""
    entries = [str((key, values_of(workshop, key))) for key in workshop.redis.scan_iter()]
    encoded = re.findall(r"[A-Za-z0-9+/]{16,}={0,2}", "".join(entries))
    return "".join(
        [
            *entries,
            *(str(b64decode(encoded_value[: len(encoded_value) // 4 * 4])) for encoded_value in encoded),
        ]
    )


def values_of(workshop: Workshop, key: bytes) -> list[object]:
    match workshop.redis.type(key):
        case b"list":
            return list(workshop.redis.lrange(key, 0, -1))
        case b"hash":
            return list(workshop.redis.hgetall(key).items())
        case b"set":
            return list(workshop.redis.smembers(key))
        case b"zset":
            return list(workshop.redis.zrange(key, 0, -1))
        case _:
            return [workshop.redis.get(key)]
