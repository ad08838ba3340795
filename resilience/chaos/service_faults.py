"""Faults of shared services: Redis, connections to it, the database and its disk."""

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


def cut_redis_connection(bed: ChaosTestBed, rng: random.Random) -> None:
    """Cuts a connection during a command or a reply."""
    if bed.proxy.is_cutting:
        raise FaultNotPossibleError
    bed.proxy.cut(in_command=rng.random() < 0.5)


def restart_redis_empty(bed: ChaosTestBed, rng: random.Random) -> ActiveFault:
    """Restarts Redis without data: it keeps nothing on disk, so every message is lost."""
    if not is_redis_up(bed):
        raise FaultNotPossibleError
    bed.redis.stop()
    return ActiveFault(rng.uniform(0.1, 2), bed.redis.start)


def fill_redis(bed: ChaosTestBed, rng: random.Random) -> ActiveFault:
    """Limits Redis's memory, so that it refuses every write."""
    if not is_redis_up(bed):
        raise FaultNotPossibleError
    bed.redis.client.config_set("maxmemory", "1")
    return ActiveFault(rng.uniform(1, 3), lambda: _lift_memory_limit(bed))


def restart_database(bed: ChaosTestBed, rng: random.Random) -> ActiveFault:
    """Restarts PostgreSQL; SQLite has no server."""
    if bed.postgres is None or not bed.is_database_up:
        raise FaultNotPossibleError
    bed.stop_database()
    return ActiveFault(rng.uniform(0.1, 2), bed.start_database)


def lock_database(bed: ChaosTestBed, rng: random.Random) -> ActiveFault:
    """Holds the writer's lock (SQLite) or locks the table of jobs (PostgreSQL)."""
    holder: Any
    try:
        if bed.postgres is None:
            holder = sqlite3.connect(bed.folder / "notemill.db", isolation_level=None, timeout=0.5)
            holder.execute("BEGIN IMMEDIATE")
        else:
            holder = psycopg.connect(bed.database_url)
            holder.execute("SET lock_timeout = 500")
            holder.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
    except (sqlite3.Error, psycopg.Error):
        raise FaultNotPossibleError from None
    return ActiveFault(rng.uniform(1, 3), holder.close)


def fill_disk(bed: ChaosTestBed, rng: random.Random) -> ActiveFault:
    """Limits the file size of a worker (SQLite) or of the server (PostgreSQL) to one page."""
    if bed.postgres is None:
        running = [slot.process.pid for slot in bed.workers if slot.process and slot.is_running]
        if not running:
            raise FaultNotPossibleError
        pid = rng.choice(running)
        _limit_files(pid, _PAGE_BYTES)
        return ActiveFault(rng.uniform(0.5, 2), lambda: _limit_files(pid, None))
    for pid in _server_processes(bed):
        _limit_files(pid, _PAGE_BYTES)
    return ActiveFault(rng.uniform(0.5, 2), lambda: _lift_disk_limit(bed))


KINDS: FaultTable = {
    "redis_connection_cut": (cut_redis_connection, 3),
    "redis_restarted_empty": (restart_redis_empty, 2),
    "redis_full": (fill_redis, 2),
    "database_restarted": (restart_database, 2),
    "database_locked": (lock_database, 2),
    "disk_full": (fill_disk, 2),
}


def is_redis_up(bed: ChaosTestBed) -> bool:
    try:
        return bool(bed.redis.client.ping())
    except redis.RedisError:
        return False


def _lift_memory_limit(bed: ChaosTestBed) -> None:
    if is_redis_up(bed):
        bed.redis.client.config_set("maxmemory", "0")


def _server_processes(bed: ChaosTestBed) -> list[int]:
    """Ids of the server process and of its current connections."""
    if bed.postgres is None or bed.postgres.process is None or not bed.is_database_up:
        raise FaultNotPossibleError
    parent = bed.postgres.process.pid
    try:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text("ascii")
    except OSError:
        raise FaultNotPossibleError from None
    return [parent, *map(int, children.split())]


def _lift_disk_limit(bed: ChaosTestBed) -> None:
    """Lifts the limit of all current processes: a new one inherits its parent's limit."""
    try:
        for pid in _server_processes(bed):
            _limit_files(pid, None)
    except FaultNotPossibleError:  # the limit ended the server, and the next one starts without it
        return


def _limit_files(pid: int, num_bytes: int | None) -> None:
    """Limits the size of files that a process writes; None restores the hard limit."""
    try:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if num_bytes is None else num_bytes, hard))
    except (ProcessLookupError, PermissionError):
        return
