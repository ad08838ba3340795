"""The faults: each a function that strikes the stage and returns what takes it back, if anything does.

A fault that cannot strike now (the worker it wants is dead already) raises NotNowError, and another is drawn.
"""

from __future__ import annotations

import random
import resource
import signal
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import redis
from celery import Celery

from benchmarks.chaos import triggers
from benchmarks.chaos.stage import LEASE_SECONDS, Stage, WorkerPlace
from models.errors import NotemillError
from models.messages import QUEUE_NAME, TASK_NAME
from models.store import Store

Undo = Callable[[], None]
_DAYS_SECONDS = 3 * 24 * 3600.0


class NotNowError(Exception):
    """This fault cannot strike at the moment."""


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that lasts: after so many seconds it is taken back."""

    seconds: float
    undo: Undo


Fault = Callable[[Stage, random.Random], Struck | None]


def kill_worker(stage: Stage, draw: random.Random) -> None:
    """SIGKILL at a random moment, as the kernel's out-of-memory killer does it."""
    _running(stage, draw).send_signal(signal.SIGKILL)


def stop_worker(stage: Stage, draw: random.Random) -> None:
    """SIGTERM, and in half of the cases a second one at once."""
    process = _running(stage, draw)
    process.terminate()
    if draw.random() < 0.5:
        time.sleep(0.3)
        process.terminate()


def _ordered(name: str) -> Fault:
    def strike(stage: Stage, _draw: random.Random) -> None:
        if triggers.is_open(stage.triggers, name):
            raise NotNowError
        triggers.order(stage.triggers, name)

    return strike


def freeze_past_the_lease(stage: Stage, draw: random.Random) -> Struck:
    process = _running(stage, draw)
    process.send_signal(signal.SIGSTOP)
    return Struck(LEASE_SECONDS * draw.uniform(1.5, 3), lambda: process.send_signal(signal.SIGCONT))


def cut_redis_connection(stage: Stage, draw: random.Random) -> None:
    """In the middle of a command or of an answer."""
    if stage.proxy.is_cutting:
        raise NotNowError
    stage.proxy.cut(in_command=draw.random() < 0.5)


def restart_redis_empty(stage: Stage, draw: random.Random) -> Struck:
    """It keeps nothing on disk: every message is gone."""
    if not _is_redis_up(stage):
        raise NotNowError
    stage.redis.stop()
    return Struck(draw.uniform(0.1, 2), stage.redis.start)


def fill_redis(stage: Stage, draw: random.Random) -> Struck:
    """Every write is refused."""
    if not _is_redis_up(stage):
        raise NotNowError
    stage.redis.client.config_set("maxmemory", "1")
    return Struck(draw.uniform(1, 3), lambda: _lift_memory_limit(stage))


def restart_database(stage: Stage, draw: random.Random) -> Struck:
    """PostgreSQL alone: SQLite has no server."""
    if stage.postgres is None or stage.postgres.process is None or stage.postgres.process.poll() is not None:
        raise NotNowError
    stage.postgres.kill()
    return Struck(draw.uniform(0.1, 2), stage.postgres.start)


def lock_database(stage: Stage, draw: random.Random) -> Struck:
    """Somebody else holds the one writer's lock (SQLite), or the table of jobs (PostgreSQL)."""
    holder: Any
    try:
        if stage.postgres is None:
            holder = sqlite3.connect(stage.folder / "notemill.db", isolation_level=None, timeout=2)
            holder.execute("BEGIN IMMEDIATE")
        else:
            holder = psycopg.connect(stage.database_url)
            holder.execute("SET lock_timeout = 2000")
            holder.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
    except (sqlite3.Error, psycopg.Error):
        raise NotNowError from None
    return Struck(draw.uniform(1, 3), holder.close)


def fill_disk(stage: Stage, draw: random.Random) -> Struck:
    """No file of a worker (SQLite) or of the server (PostgreSQL) can grow, nor be written beyond a page."""
    processes = [_running(stage, draw).pid] if stage.postgres is None else _server_processes(stage)
    for pid in processes:
        _limit_files(pid, 8_192)
    return Struck(draw.uniform(0.5, 2), lambda: [_limit_files(pid, None) for pid in processes] and None)


def submit_twice_at_once(stage: Stage, draw: random.Random) -> None:
    chunk = _some_chunk(stage, draw)
    stage.others += [stage.start_producer(chunk), stage.start_producer(chunk)]


def kill_producer(stage: Stage, draw: random.Random) -> Struck:
    """In the middle of its submit; whoever started it types the same again."""
    chunk = _some_chunk(stage, draw)
    if chunk.process is None:
        chunk.is_submitted, chunk.process = False, stage.start_producer(chunk)
    process = chunk.process
    return Struck(draw.uniform(0.8, 2.5), process.kill)


def send_late_duplicates(stage: Stage, draw: random.Random) -> None:
    """Messages of documents that were answered long ago, and of some that never were."""
    if not _is_redis_up(stage):
        raise NotNowError
    app = Celery(broker=stage.redis.url, set_as_current=False)
    for _ in range(30):
        app.send_task(
            TASK_NAME,
            kwargs={"document_id": draw.randint(1, 400)},
            queue=QUEUE_NAME,
            priority=draw.choice((0, 9)),
        )


def shorten_visibility(stage: Stage, draw: random.Random) -> None:
    """A worker whose messages come again while it works on them."""
    place = _place(stage, draw)
    place.visibility_seconds = 1
    _process(place).terminate()


def move_clock(stage: Stage, draw: random.Random) -> None:
    """A worker whose clock is hours or days off."""
    place = _place(stage, draw)
    place.clock_seconds = draw.choice((-1, 1)) * draw.choice((3_600.0, _DAYS_SECONDS))
    _process(place).terminate()


def retry_failed(stage: Stage, _draw: random.Random) -> None:
    stage.command("retry")


def cancel_and_submit_again(stage: Stage, draw: random.Random) -> None:
    chunk = _some_chunk(stage, draw)
    file = stage.folder / "runs" / chunk.name
    if chunk.process is not None or not file.exists():
        raise NotNowError
    try:
        Store(stage.engine).cancel(int(file.read_text()))
    except NotemillError:
        raise NotNowError from None
    chunk.is_submitted, chunk.not_before = False, time.monotonic() + 1


def sweep_twice_at_once(stage: Stage, _draw: random.Random) -> None:
    stage.command("sweep")
    stage.command("sweep")


KINDS: dict[str, tuple[Fault, int]] = {
    "worker_killed": (kill_worker, 3),
    "worker_stopped": (stop_worker, 1),
    triggers.KILL_BEFORE_COMMIT: (_ordered(triggers.KILL_BEFORE_COMMIT), 2),
    triggers.KILL_AFTER_COMMIT: (_ordered(triggers.KILL_AFTER_COMMIT), 2),
    "worker_frozen_past_lease": (freeze_past_the_lease, 2),
    triggers.OUT_OF_MEMORY: (_ordered(triggers.OUT_OF_MEMORY), 1),
    triggers.ENGINE_OUT_OF_MEMORY: (_ordered(triggers.ENGINE_OUT_OF_MEMORY), 1),
    "redis_connection_cut": (cut_redis_connection, 3),
    "redis_restarted_empty": (restart_redis_empty, 2),
    "redis_full": (fill_redis, 2),
    "database_restarted": (restart_database, 2),
    "database_locked": (lock_database, 2),
    "disk_full": (fill_disk, 2),
    "submitted_twice_at_once": (submit_twice_at_once, 1),
    "producer_killed": (kill_producer, 2),
    "late_duplicates": (send_late_duplicates, 2),
    "visibility_too_short": (shorten_visibility, 1),
    "clock_moved": (move_clock, 1),
    "retried": (retry_failed, 1),
    "cancelled": (cancel_and_submit_again, 2),
    "two_sweeps_at_once": (sweep_twice_at_once, 1),
}
"""By name the fault, and how often it is drawn beside the others. Poison notes are among the notes."""


def _place(stage: Stage, draw: random.Random) -> WorkerPlace:
    running = [place for place in stage.workers if place.is_running]
    if not running:
        raise NotNowError
    return draw.choice(running)


def _running(stage: Stage, draw: random.Random) -> Any:
    return _process(_place(stage, draw))


def _process(place: WorkerPlace) -> Any:
    assert place.process is not None
    return place.process


def _some_chunk(stage: Stage, draw: random.Random) -> Any:
    begun = [chunk for chunk in stage.chunks if chunk.is_submitted or chunk.process is not None]
    if not begun:
        raise NotNowError
    return draw.choice(begun)


def _is_redis_up(stage: Stage) -> bool:
    try:
        return bool(stage.redis.client.ping())
    except redis.RedisError:
        return False


def _lift_memory_limit(stage: Stage) -> None:
    if _is_redis_up(stage):
        stage.redis.client.config_set("maxmemory", "0")


def _server_processes(stage: Stage) -> list[int]:
    """The server's own and those of its connections, as far as they are there now."""
    assert stage.postgres is not None
    if stage.postgres.process is None or stage.postgres.process.poll() is not None:
        raise NotNowError
    parent = stage.postgres.process.pid
    children = open(f"/proc/{parent}/task/{parent}/children").read()  # noqa: SIM115, PTH123
    return [parent, *map(int, children.split())]


def _limit_files(pid: int, num_bytes: int | None) -> None:
    """Without a number, as many as the process was allowed."""
    try:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if num_bytes is None else num_bytes, hard))
    except (ProcessLookupError, PermissionError):
        return
