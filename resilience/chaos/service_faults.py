"""Faults that strike what all processes share: Redis, the way to it, the database and its disk."""

from __future__ import annotations

import random
import resource
import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import redis

from resilience.chaos.fault_api import ActiveFault, FaultNotPossibleError, FaultTable
from resilience.chaos.test_bed import ChaosTestBed

_PAGE_BYTES = 8_192


def cut_redis_connection(stage: ChaosTestBed, draw: random.Random) -> None:
    """In the middle of a command or of an answer."""
    if stage.proxy.is_cutting:
        raise FaultNotPossibleError
    stage.proxy.cut(in_command=draw.random() < 0.5)


def restart_redis_empty(stage: ChaosTestBed, draw: random.Random) -> ActiveFault:
    """It keeps nothing on disk: every message is gone."""
    if not is_redis_up(stage):
        raise FaultNotPossibleError
    stage.redis.stop()
    return ActiveFault(draw.uniform(0.1, 2), stage.redis.start)


def fill_redis(stage: ChaosTestBed, draw: random.Random) -> ActiveFault:
    """Every write is refused."""
    if not is_redis_up(stage):
        raise FaultNotPossibleError
    stage.redis.client.config_set("maxmemory", "1")
    return ActiveFault(draw.uniform(1, 3), lambda: _lift_memory_limit(stage))


def restart_database(stage: ChaosTestBed, draw: random.Random) -> ActiveFault:
    """PostgreSQL alone: SQLite has no server."""
    if stage.postgres is None or not stage.is_database_up:
        raise FaultNotPossibleError
    stage.stop_database()
    return ActiveFault(draw.uniform(0.1, 2), stage.start_database)


def lock_database(stage: ChaosTestBed, draw: random.Random) -> ActiveFault:
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
        raise FaultNotPossibleError from None
    return ActiveFault(draw.uniform(1, 3), holder.close)


def fill_disk(stage: ChaosTestBed, draw: random.Random) -> ActiveFault:
    """No file of a worker (SQLite) or of the server (PostgreSQL) can grow, nor be written beyond a page."""
    if stage.postgres is None:
        running = [place.process.pid for place in stage.workers if place.process and place.is_running]
        if not running:
            raise FaultNotPossibleError
        pid = draw.choice(running)
        _limit_files(pid, _PAGE_BYTES)
        return ActiveFault(draw.uniform(0.5, 2), lambda: _limit_files(pid, None))
    for pid in _server_processes(stage):
        _limit_files(pid, _PAGE_BYTES)
    return ActiveFault(draw.uniform(0.5, 2), lambda: _lift_disk_limit(stage))


KINDS: FaultTable = {
    "redis_connection_cut": (cut_redis_connection, 3),
    "redis_restarted_empty": (restart_redis_empty, 2),
    "redis_full": (fill_redis, 2),
    "database_restarted": (restart_database, 2),
    "database_locked": (lock_database, 2),
    "disk_full": (fill_disk, 2),
}


def is_redis_up(stage: ChaosTestBed) -> bool:
    try:
        return bool(stage.redis.client.ping())
    except redis.RedisError:
        return False


def _lift_memory_limit(stage: ChaosTestBed) -> None:
    if is_redis_up(stage):
        stage.redis.client.config_set("maxmemory", "0")


def _server_processes(stage: ChaosTestBed) -> list[int]:
    """The server's own and those of its connections, as far as they are there now."""
    if stage.postgres is None or stage.postgres.process is None or not stage.is_database_up:
        raise FaultNotPossibleError
    parent = stage.postgres.process.pid
    try:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text("ascii")
    except OSError:
        raise FaultNotPossibleError from None
    return [parent, *map(int, children.split())]


def _lift_disk_limit(stage: ChaosTestBed) -> None:
    """Of all that are there now: who was begun meanwhile has its parent's limit."""
    try:
        for pid in _server_processes(stage):
            _limit_files(pid, None)
    except FaultNotPossibleError:  # the server ended of it, and the next one is begun without
        return


def _limit_files(pid: int, num_bytes: int | None) -> None:
    """Without a number, as many as the process was allowed."""
    try:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if num_bytes is None else num_bytes, hard))
    except (ProcessLookupError, PermissionError):
        return
