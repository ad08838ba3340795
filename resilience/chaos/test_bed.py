"""What a chaos run plays on: a Redis behind a proxy, a database, and the processes of producers and workers.

Everything is real, and started anew when it has died, as a service manager would. Knows no fault."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import SecretStr
from sqlalchemy import Engine

from models.migrations import schema_version
from models.schema.database import connect
from models.settings import Settings, as_environment
from resilience.chaos.fault_triggers import FOLDER_VARIABLE
from resilience.chaos.process_slots import VISIBILITY_SECONDS, NoteRange, WorkerSlot
from resilience.chaos.redis_proxy import RedisProxy
from tests.support.postgres_server import (
    PostgresServer,
    database_url,
    dies_with_parent,
    execute,
    restartable_server,
)
from tests.support.redis_server import RedisServer
from tests.support.tiny import write_tiny_weights
from worker.queue.worker_command import worker_command

ROOT = Path(__file__).parents[2]
LEASE_SECONDS = 4.0
"""Twice what a heartbeat may be late by on a machine that is busy with other things."""
_LONGEST_LOCK_SECONDS = 2
"""A look of ours waits no longer: who holds the lock may be a process that only we can wake."""
_RESTART_SECONDS = 1.0
"""Before a producer that failed is started again."""


@dataclass
class ChaosTestBed:
    """All parts; `keep_turning` is called many times a second."""

    folder: Path
    database_url: str
    postgres: PostgresServer | None
    redis: RedisServer
    proxy: RedisProxy
    groups: Sequence[str]
    workers: list[WorkerSlot] = field(default_factory=list)
    chunks: list[NoteRange] = field(default_factory=list)
    others: list[subprocess.Popen[bytes]] = field(default_factory=list)
    """Commands of a moment, such as sweeps."""
    frozen: set[int] = field(default_factory=set)
    killed: set[int] = field(default_factory=set)
    """Process ids of workers that were frozen for a while, or ended by SIGKILL or SIGSEGV."""
    _is_database_stopped: bool = False
    """By a fault, which starts it again."""

    def __post_init__(self) -> None:
        self.triggers.mkdir()
        (self.folder / "runs").mkdir()
        schema_version.upgrade(self.engine)
        self.workers = [WorkerSlot("instant"), WorkerSlot("instant")]
        self.workers += [WorkerSlot(group) for group in self.groups if group == "real"]

    @property
    def triggers(self) -> Path:
        return self.folder / "triggers"

    @property
    def engine(self) -> Engine:
        """A new one each time: the server may have been killed under the last."""
        limit = quote(f"-c lock_timeout={_LONGEST_LOCK_SECONDS}s")
        return connect(self.database_url + (f"&options={limit}" if self.postgres else ""))

    @property
    def is_database_up(self) -> bool:
        return self.postgres is None or (
            self.postgres.process is not None and self.postgres.process.poll() is None
        )

    def stop_database(self) -> None:
        assert self.postgres is not None
        self._is_database_stopped = True
        self.postgres.kill()

    def start_database(self) -> None:
        """PostgreSQL alone. A full disk may end it at any moment, its first one included."""
        assert self.postgres is not None
        self._is_database_stopped = False
        if not self.is_database_up:
            self.postgres.start()

    def settings(self, group: str) -> Settings:
        return Settings(
            home=self.folder,
            database_url=SecretStr(self.database_url),
            redis_url=SecretStr(f"redis+socket://{self.proxy.path}"),
            weights=str(self._weights(group)),
            quantization="none",
            adapter="none",
            device="cpu",
            memory_gib=1.0,
            worker_threads=8,
            lease_seconds=LEASE_SECONDS,
            stop_seconds=2,
            time_limit_seconds=60,
        )

    def keep_turning(self) -> None:
        """Starts what is not there and should be."""
        if not self.is_database_up and not self._is_database_stopped:
            self.start_database()
        for place in self.workers:
            if not place.is_running:
                self._start_worker(place)
        for chunk in self.chunks:
            self._submit(chunk)
        self.others = [one for one in self.others if one.poll() is None]

    def command(self, *arguments: str) -> None:
        """A `notemill` command beside everything else; nobody waits for it."""
        command = [sys.executable, "-m", "notemill", *arguments]
        self.others.append(self._start(command, "commands", self._environment("instant")))

    def start_producer(self, chunk: NoteRange) -> subprocess.Popen[bytes]:
        file = self.folder / "runs" / chunk.name
        arguments = [chunk.group, str(chunk.first), str(chunk.count), str(file)]
        command = [sys.executable, "-m", "resilience.chaos.chaos_producer", *arguments]
        return self._start(command, "producers", self._environment(chunk.group))

    def stop_processes(self) -> None:
        """Workers, producers and commands; the database stays, to be judged."""
        for process in self._processes():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        until = time.monotonic() + 20
        for process in self._processes():
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def close(self) -> None:
        self.stop_processes()
        self.proxy.stop()
        self.redis.stop()

    def _processes(self) -> list[subprocess.Popen[bytes]]:
        owned = [place.process for place in self.workers] + [chunk.process for chunk in self.chunks]
        return [one for one in (*owned, *self.others) if one is not None and one.poll() is None]

    def _start_worker(self, place: WorkerSlot) -> None:
        if place.process is not None and place.process.returncode < 0:
            self.killed.add(place.process.pid)
        settings = self.settings(place.group)
        place.lives += 1
        environment = self._environment(place.group) | {
            "CHAOS_CLOCK_SECONDS": str(place.clock_seconds),
            "CHAOS_VISIBILITY_SECONDS": str(place.visibility_seconds),
            "CHAOS_IS_REAL": "1" if place.group == "real" else "",
        }
        command = worker_command(settings, app="resilience.chaos.chaos_worker:app")
        place.process = self._start(command, f"worker-{self.workers.index(place)}", environment)
        place.clock_seconds, place.visibility_seconds = 0.0, VISIBILITY_SECONDS

    def _submit(self, chunk: NoteRange) -> None:
        if chunk.process is not None and chunk.process.poll() is not None:
            chunk.is_submitted = chunk.process.returncode == 0
            chunk.process = None
            chunk.not_before = time.monotonic() + _RESTART_SECONDS
        is_due = time.monotonic() >= chunk.not_before
        if chunk.process is None and not chunk.is_submitted and is_due:
            chunk.process = self.start_producer(chunk)

    def _start(self, command: list[str], log: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{log}.log").open("ab") as file:
            return subprocess.Popen(  # noqa: S603  our own commands
                command,
                env=environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                preexec_fn=dies_with_parent(signal.SIGKILL),  # however that ends, and if it hangs
            )

    def _environment(self, group: str) -> dict[str, str]:
        paths = (ROOT / "benchmarks" / "chaos" / "moved_clock", ROOT, ROOT / "tests")
        ours = {
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "OMP_NUM_THREADS": "1",
            FOLDER_VARIABLE: str(self.triggers),
        }
        return as_environment(self.settings(group)) | ours

    def _weights(self, group: str) -> Path:
        """Tiny ones for the real engine; for the other a folder that has a fingerprint."""
        folder = self.folder / f"{group}-weights"
        if not folder.exists():
            if group == "real":
                write_tiny_weights(folder)
            else:
                folder.mkdir()
                (folder / "config.json").write_text("{}")
        return folder


@contextmanager
def running_test_bed(folder: Path, database: str, groups: Sequence[str]) -> Iterator[ChaosTestBed]:
    """Built in the folder, and taken down after the block."""
    redis = RedisServer(folder)
    redis.start()
    proxy = RedisProxy(folder / "proxy.sock", folder / "redis.sock")
    with _database(folder, database) as (url, postgres):
        built = ChaosTestBed(folder, url, postgres, redis, proxy, groups)
        try:
            yield built
        finally:
            built.close()


@contextmanager
def _database(folder: Path, database: str) -> Iterator[Any]:
    if database == "sqlite":
        yield f"sqlite:///{folder / 'notemill.db'}", None
        return
    with restartable_server(is_durable=True) as server:
        execute(str(server.folder), "CREATE DATABASE chaos")
        yield database_url(str(server.folder), "chaos"), server
