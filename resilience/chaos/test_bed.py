"""Test bed of a chaos run: Redis behind a proxy, a database, and processes of producers and workers.

All of it is real. Processes that end are restarted, as a service manager would. Does not import the faults.
"""

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
"""Twice the delay that a heartbeat may have on a busy machine."""
_MAX_LOCK_WAIT_SECONDS = 2
"""Queries of the run wait no longer: the lock's holder may be a frozen process that only the run can wake."""
_RESTART_SECONDS = 1.0
"""Delay before a failed producer is started again."""


@dataclass
class ChaosTestBed:
    """All services and processes. The run calls `restart_stopped` many times a second."""

    folder: Path
    database_url: str
    postgres: PostgresServer | None
    redis: RedisServer
    proxy: RedisProxy
    groups: Sequence[str]
    workers: list[WorkerSlot] = field(default_factory=list)
    note_ranges: list[NoteRange] = field(default_factory=list)
    commands: list[subprocess.Popen[bytes]] = field(default_factory=list)
    """Short commands, such as sweeps."""
    frozen: set[int] = field(default_factory=set)
    killed: set[int] = field(default_factory=set)
    """Process ids of workers that were frozen (`frozen`) or ended by SIGKILL or SIGSEGV (`killed`)."""
    _is_database_stopped: bool = False
    """Whether a fault stopped the database and will start it again."""

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
        """A new database engine each time: the server of the last one may have been killed."""
        limit = quote(f"-c lock_timeout={_MAX_LOCK_WAIT_SECONDS}s")
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
        """Starts PostgreSQL. A full disk may end it at any time, even during its start."""
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

    def restart_stopped(self) -> None:
        """Starts every service and process that should run and does not."""
        if not self.is_database_up and not self._is_database_stopped:
            self.start_database()
        for slot in self.workers:
            if not slot.is_running:
                self._start_worker(slot)
        for note_range in self.note_ranges:
            self._submit(note_range)
        self.commands = [process for process in self.commands if process.poll() is None]

    def start_command(self, *arguments: str) -> None:
        """Starts a `notemill` command without waiting for it."""
        command = [sys.executable, "-m", "notemill", *arguments]
        self.commands.append(self._start(command, "commands", self._environment("instant")))

    def start_producer(self, note_range: NoteRange) -> subprocess.Popen[bytes]:
        file = self.folder / "runs" / note_range.name
        arguments = [note_range.group, str(note_range.first), str(note_range.count), str(file)]
        command = [sys.executable, "-m", "resilience.chaos.chaos_producer", *arguments]
        return self._start(command, "producers", self._environment(note_range.group))

    def stop_processes(self) -> None:
        """Stops workers, producers and commands. The database stays for the result check."""
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
        owned = [slot.process for slot in self.workers] + [
            note_range.process for note_range in self.note_ranges
        ]
        return [process for process in (*owned, *self.commands) if process and process.poll() is None]

    def _start_worker(self, slot: WorkerSlot) -> None:
        if slot.process is not None and slot.process.returncode < 0:
            self.killed.add(slot.process.pid)
        settings = self.settings(slot.group)
        slot.num_starts += 1
        environment = self._environment(slot.group) | {
            "CHAOS_CLOCK_SECONDS": str(slot.clock_seconds),
            "CHAOS_VISIBILITY_SECONDS": str(slot.visibility_seconds),
            "CHAOS_IS_REAL": "1" if slot.group == "real" else "",
        }
        command = worker_command(settings, app="resilience.chaos.chaos_worker:app")
        slot.process = self._start(command, f"worker-{self.workers.index(slot)}", environment)
        slot.clock_seconds, slot.visibility_seconds = 0.0, VISIBILITY_SECONDS

    def _submit(self, note_range: NoteRange) -> None:
        if note_range.process is not None and note_range.process.poll() is not None:
            note_range.is_submitted = note_range.process.returncode == 0
            note_range.process = None
            note_range.not_before = time.monotonic() + _RESTART_SECONDS
        is_due = time.monotonic() >= note_range.not_before
        if note_range.process is None and not note_range.is_submitted and is_due:
            note_range.process = self.start_producer(note_range)

    def _start(self, command: list[str], log: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{log}.log").open("ab") as file:
            return subprocess.Popen(  # noqa: S603  our own commands
                command,
                env=environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                preexec_fn=dies_with_parent(signal.SIGKILL),  # however the run ends, also when it hangs
            )

    def _environment(self, group: str) -> dict[str, str]:
        paths = (ROOT / "resilience" / "chaos" / "moved_clock", ROOT, ROOT / "tests")
        ours = {
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "OMP_NUM_THREADS": "1",
            FOLDER_VARIABLE: str(self.triggers),
        }
        return as_environment(self.settings(group)) | ours

    def _weights(self, group: str) -> Path:
        """Tiny weights for the real engine; for the other a folder with only a configuration."""
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
    """Builds the test bed in the folder, and closes it after the block."""
    redis = RedisServer(folder)
    redis.start()
    proxy = RedisProxy(folder / "proxy.sock", folder / "redis.sock")
    with _database(folder, database) as (url, postgres):
        bed = ChaosTestBed(folder, url, postgres, redis, proxy, groups)
        try:
            yield bed
        finally:
            bed.close()


@contextmanager
def _database(folder: Path, database: str) -> Iterator[Any]:
    if database == "sqlite":
        yield f"sqlite:///{folder / 'notemill.db'}", None
        return
    with restartable_server(is_durable=True) as server:
        execute(str(server.folder), "CREATE DATABASE chaos")
        yield database_url(str(server.folder), "chaos"), server
