"""Foreign queue entries for a real worker, which must reject them without quoting them and continue."""

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
from resilience.fuzz.mutations import CANARY, SPECIAL_TOKENS, mutated
from tests.support.redis_server import RedisServer
from worker.queue.worker_command import worker_command

_MAX_TAKE_SECONDS = 15
"""A worker must take an entry within this time; the first entry waits for its start."""


class ExitOnUnpickle:
    """A pickle that ends the process that loads it."""

    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (3,)


@dataclass
class _FuzzedWorker:
    """A worker with an engine that answers at once, its Redis, and the bytes read of its log."""

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
        """Raises when the worker ends, takes no more entries, or logs the content of one."""
        self.redis.client.lpush(QUEUE_NAME, entry)
        until = time.monotonic() + _MAX_TAKE_SECONDS
        while self.redis.client.llen(QUEUE_NAME):
            if self.process.poll() is not None:
                raise RuntimeError(f"the worker ended ({self.process.returncode}): {self._new_log()[-300:]}")
            if time.monotonic() > until:
                raise TimeoutError("the worker takes no more messages")
            time.sleep(0.002)
        if CANARY.decode() in self._new_log():
            raise LeakError("the log contains words of the entry")
        return "refused"

    def _new_log(self) -> str:
        with (self.folder / "worker.log").open("rb") as log:
            log.seek(self.read_bytes)
            content = log.read()
        self.read_bytes += len(content)
        return content.decode("utf-8", "replace")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.redis.stop()


def queue_target() -> FuzzTarget:
    """Raw entries, mutated bodies in a valid envelope, and pickles."""
    running: list[_FuzzedWorker] = []

    def read(entry: bytes, folder: Path) -> str:
        if not running or running[0].process.poll() is not None:
            running[:] = [_FuzzedWorker(folder)]
            running[0].start()
        return running[0].take(entry)

    return FuzzTarget("queue", _entry, read, share=2.0, close=lambda: _close(running))


def _close(running: list[_FuzzedWorker]) -> None:
    for worker in running:
        worker.close()


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
            [None, 5, [], {}, [None, "a"], SPECIAL_TOKENS[-1].decode(), "2024-01-01"]
        )
    envelope["body"] = base64.b64encode(body).decode()
    return json.dumps(envelope).encode()
