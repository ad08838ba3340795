"""Faults that strike what all processes share: Redis, the way to it, the database and its disk."""

from __future__ import annotations

import random
import resource
import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import redis

from resilience.chaos.fault_api import Kinds, NotNowError, Struck
from resilience.chaos.test_bed import Stage

_PAGE_BYTES = 8_192


def cut_redis_connection(stage: Stage, draw: random.Random) -> None:
    """In the middle of a command or of an answer."""
    if stage.proxy.is_cutting:
        raise NotNowError
    stage.proxy.cut(in_command=draw.random() < 0.5)


def restart_redis_empty(stage: Stage, draw: random.Random) -> Struck:
    """It keeps nothing on disk: every message is gone."""
    if not is_redis_up(stage):
        raise NotNowError
    stage.redis.stop()
    return Struck(draw.uniform(0.1, 2), stage.redis.start)


def fill_redis(stage: Stage, draw: random.Random) -> Struck:
    """Every write is refused."""
    if not is_redis_up(stage):
        raise NotNowError
    stage.redis.client.config_set("maxmemory", "1")
    return Struck(draw.uniform(1, 3), lambda: _lift_memory_limit(stage))


def restart_database(stage: Stage, draw: random.Random) -> Struck:
    """PostgreSQL alone: SQLite has no server."""
    if stage.postgres is None or not stage.is_database_up:
        raise NotNowError
    stage.stop_database()
    return Struck(draw.uniform(0.1, 2), stage.start_database)


def lock_database(stage: Stage, draw: random.Random) -> Struck:
    """Somebody else holds the one writer's lock (SQLite), or the table of jobs (PostgreSQL)."""
    holder: Any
    try:
        if stage.postgres is None:
            holder = sqlite3.connect(stage.folder / "notemill.db", isolation_level=None, timeout=0.5)
            holder.execute("BEGIN IMMEDIATE")
        else:
            holder = psycopg.connect(stage.database_url)
            holder.execute("SET lock_timeout = 500")
            holder.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
    except (sqlite3.Error, psycopg.Error):
        raise NotNowError from None
    return Struck(draw.uniform(1, 3), holder.close)


def fill_disk(stage: Stage, draw: random.Random) -> Struck:
    """No file of a worker (SQLite) or of the server (PostgreSQL) can grow, nor be written beyond a page."""
    if stage.postgres is None:
        running = [place.process.pid for place in stage.workers if place.process and place.is_running]
        if not running:
            raise NotNowError
        pid = draw.choice(running)
        _limit_files(pid, _PAGE_BYTES)
        return Struck(draw.uniform(0.5, 2), lambda: _limit_files(pid, None))
    for pid in _server_processes(stage):
        _limit_files(pid, _PAGE_BYTES)
    return Struck(draw.uniform(0.5, 2), lambda: _lift_disk_limit(stage))


KINDS: Kinds = {
    "redis_connection_cut": (cut_redis_connection, 3),
    "redis_restarted_empty": (restart_redis_empty, 2),
    "redis_full": (fill_redis, 2),
    "database_restarted": (restart_database, 2),
    "database_locked": (lock_database, 2),
    "disk_full": (fill_disk, 2),
}


def is_redis_up(stage: Stage) -> bool:
    try:
        return bool(stage.redis.client.ping())
    except redis.RedisError:
        return False


def _lift_memory_limit(stage: Stage) -> None:
    if is_redis_up(stage):
        stage.redis.client.config_set("maxmemory", "0")


def _server_processes(stage: Stage) -> list[int]:
    """The server's own and those of its connections, as far as they are there now."""
    if stage.postgres is None or stage.postgres.process is None or not stage.is_database_up:
        raise NotNowError
    parent = stage.postgres.process.pid
    try:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text("ascii")
    except OSError:
        raise NotNowError from None
    return [parent, *map(int, children.split())]


def _lift_disk_limit(stage: Stage) -> None:
    """Of all that are there now: who was begun meanwhile has its parent's limit."""
    try:
        for pid in _server_processes(stage):
            _limit_files(pid, None)
    except NotNowError:  # the server ended of it, and the next one is begun without
        return


def _limit_files(pid: int, num_bytes: int | None) -> None:
    """Without a number, as many as the process was allowed."""
    try:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if num_bytes is None else num_bytes, hard))
    except (ProcessLookupError, PermissionError):
        return
