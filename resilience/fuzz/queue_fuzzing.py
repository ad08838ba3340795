"""Entries of the queue that are not ours, to a real worker: it says so in fixed words, and goes on."""

from __future__ import annotations

import base64
import json
import os
import pickle
import random
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from models.messages import QUEUE_NAME
from models.migrations import schema_version
from models.schema.database import connect
from models.settings import Settings, as_environment
from resilience.fuzz import seed_inputs
from resilience.fuzz.input_check import FuzzTarget, LeakError
from resilience.fuzz.mutations import CANARY, ODD, mutated
from tests.support.redis_server import RedisServer
from worker.queue.worker_command import worker_command

_TAKEN_SECONDS = 15
"""Within which a worker takes an entry; the first one waits for its start."""


class ExitOnUnpickle:
    """A pickle that would end the process that opens it."""

    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (3,)


@dataclass
class _FuzzedWorker:
    """A worker with an engine that answers at once, its Redis, and how far its log was read."""

    folder: Path
    redis: RedisServer = field(init=False)
    process: subprocess.Popen[bytes] = field(init=False)
    read_bytes: int = 0

    def start(self) -> None:
        self.redis = RedisServer(self.folder)
        self.redis.start()
        url = f"sqlite:///{self.folder / 'notemill.db'}"
        schema_version.upgrade(connect(url))
        (self.folder / "weights").mkdir(exist_ok=True)
        (self.folder / "weights" / "config.json").write_text("{}")
        settings = Settings(
            home=self.folder,
            database_url=SecretStr(url),
            redis_url=SecretStr(self.redis.url),
            weights=str(self.folder / "weights"),
            adapter="none",
            log_level="DEBUG",
            worker_threads=2,
        )
        environment = as_environment(settings) | {"PYTHONPATH": str(seed_inputs.ROOT)}
        command = worker_command(settings, app="benchmarks.archive.instant_worker:app")
        with (self.folder / "worker.log").open("wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # noqa: S603

    def take(self, entry: bytes) -> str:
        """Raises where the worker ends, takes nothing more, or says what is in an entry."""
        self.redis.client.lpush(QUEUE_NAME, entry)
        until = time.monotonic() + _TAKEN_SECONDS
        while self.redis.client.llen(QUEUE_NAME):
            if self.process.poll() is not None:
                raise RuntimeError(f"the worker ended ({self.process.returncode}): {self._said()[-300:]}")
            if time.monotonic() > until:
                raise TimeoutError("the worker takes no message any more")
            time.sleep(0.002)
        said = self._said()
        if CANARY.decode() in said:
            raise LeakError("the log has what was in the entry")
        return "refused"

    def _said(self) -> str:
        with (self.folder / "worker.log").open("rb") as log:
            log.seek(self.read_bytes)
            said = log.read()
        self.read_bytes += len(said)
        return said.decode("utf-8", "replace")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.redis.stop()


def queue_target() -> FuzzTarget:
    """Raw entries, bodies behind a good envelope, and pickles."""
    running: list[_FuzzedWorker] = []

    def read(entry: bytes, folder: Path) -> str:
        if not running or running[0].process.poll() is not None:
            running[:] = [_FuzzedWorker(folder)]
            running[0].start()
        return running[0].take(entry)

    return FuzzTarget("queue", _entry, read, share=2.0, close=lambda: _close(running))


def _close(running: list[_FuzzedWorker]) -> None:
    for one in running:
        one.close()


def _entry(chance: random.Random) -> bytes:
    good = seed_inputs.messages()
    kind = chance.random()
    if kind < 0.5:
        return mutated(chance, good)
    envelope = json.loads(chance.choice(good))
    body = mutated(chance, [base64.b64decode(envelope["body"])])
    if kind < 0.6:
        body = pickle.dumps(ExitOnUnpickle())
        envelope["content-type"] = chance.choice(("application/x-python-serialize", "application/json", "x"))
    if kind > 0.9:
        name = chance.choice([*envelope["headers"], "timelimit", "expires", "shadow", "compression", "chord"])
        envelope["headers"][name] = chance.choice(
            [None, 5, [], {}, [None, "a"], ODD[-1].decode(), "2024-01-01"]
        )
    envelope["body"] = base64.b64encode(body).decode()
    return json.dumps(envelope).encode()
