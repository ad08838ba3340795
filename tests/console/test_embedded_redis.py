"""The embedded Redis server and the supervisor of child processes. Real servers, real kills."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from workshop import ROOT, until

from console.processes import child_process
from console.processes.embedded_redis import EmbeddedRedis, EmbeddedRedisError, socket_path, start_redis
from console.processes.redis_client import connect, ping, server_info
from models.settings import Settings


@pytest.fixture
def settings() -> Iterator[Settings]:
    home = Path(tempfile.mkdtemp(prefix="nm-"))
    yield Settings(home=home)
    shutil.rmtree(home)


@pytest.fixture
def redis(settings: Settings) -> Iterator[EmbeddedRedis]:
    started = start_redis(settings)
    yield started
    started.stop()


def test_the_server_accepts_its_owner_on_a_socket_and_nobody_over_tcp(
    redis: EmbeddedRedis, settings: Settings
) -> None:
    assert socket_path(settings).stat().st_mode & 0o777 == 0o600
    assert connect(redis.url).config_get("port") == {"port": "0"}


def test_the_server_keeps_nothing_on_disk_and_drops_nothing_from_memory(redis: EmbeddedRedis) -> None:
    client = connect(redis.url)
    assert client.config_get("save") == {"save": ""}
    assert client.config_get("appendonly") == {"appendonly": "no"}
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_a_second_command_uses_the_running_server_and_does_not_stop_it(
    redis: EmbeddedRedis, settings: Settings
) -> None:
    second = start_redis(settings)
    second.stop()
    assert second.child is None
    assert ping(redis.url)


def test_a_stopped_server_is_gone_with_its_socket(settings: Settings) -> None:
    started = start_redis(settings)
    started.stop()
    assert not ping(started.url)
    assert not socket_path(settings).exists()


def test_a_stale_socket_does_not_block_the_next_start(settings: Settings) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(socket_path(settings)))
    started = start_redis(settings)
    assert ping(started.url)
    started.stop()


def test_a_killed_server_is_restarted_by_its_supervisor(redis: EmbeddedRedis) -> None:
    time.sleep(2.1)  # a server that exits earlier counts as unable to start
    before = server_info(redis.url)
    assert before is not None
    os.kill(before["process_id"], signal.SIGKILL)
    until(lambda: (info := server_info(redis.url)) and info["process_id"] != before["process_id"], 10)


def test_a_home_too_deep_for_a_socket_gets_a_private_temporary_folder(tmp_path: Path) -> None:
    path = socket_path(Settings(home=tmp_path / ("deep" * 30)))
    assert len(os.fsencode(path)) < 104
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.parent.rmdir()


def test_a_temporary_folder_that_others_may_read_is_refused(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / ("deep" * 30))
    folder = socket_path(settings).parent
    folder.chmod(0o755)
    with pytest.raises(EmbeddedRedisError, match="not a private folder of yours"):
        socket_path(settings)
    folder.rmdir()


def test_a_server_that_cannot_start_is_an_error_that_names_its_log(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "redis-server").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "redis-server").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(EmbeddedRedisError, match=r"does not start; its log: .*redis\.log"):
        start_redis(settings)


def test_a_server_dies_with_its_owner_even_after_sigkill(settings: Settings) -> None:
    script = "from console.processes.embedded_redis import *; from models.settings import *; import time\n"
    script += "start_redis(load_settings()); print('up', flush=True); time.sleep(60)"
    environment = {**os.environ, "NOTEMILL_HOME": str(settings.home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        owner.kill()
    until(lambda: not ping(f"redis+socket://{socket_path(settings)}"), 10)


def start(tmp_path: Path, script: str, grace_seconds: float = 5) -> child_process.Child:
    """Starts a supervised Python child and waits until it prints `ready`."""
    log = tmp_path / "child.log"
    command = [
        sys.executable,
        "-c",
        f"import os, signal, time\n{script}\nprint('ready', os.getpid(), flush=True)\n",
    ]
    command[-1] += "while True: time.sleep(0.01)"
    child = child_process.start(command, environment=dict(os.environ), log=log, grace_seconds=grace_seconds)
    until(lambda: "ready" in log.read_text(), 10)
    return child


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and " Z " not in stat.read_text()


def test_a_child_that_ignores_sigterm_is_killed_after_the_grace_period(tmp_path: Path) -> None:
    child = start(tmp_path, "signal.signal(signal.SIGTERM, signal.SIG_IGN)", grace_seconds=0.5)
    began = time.monotonic()
    child.stop(0.5)
    assert time.monotonic() - began < 3
    assert not is_alive(int(child.log.read_text().split()[1]))


def test_a_hurried_stop_sends_sigterm_twice(tmp_path: Path) -> None:
    count = "asked = []\ndef ask(*_):\n    asked.append(1)\n    if len(asked) > 1: os._exit(7)\n"
    count += "signal.signal(signal.SIGTERM, ask)"
    child = start(tmp_path, count)
    child.stop(5, is_hurried=True)
    assert child.process.returncode == 7


def test_a_child_dies_with_its_supervisor(tmp_path: Path) -> None:
    child = start(tmp_path, "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    child.process.kill()
    until(lambda: not is_alive(int(child.log.read_text().split()[1])), 5)
    child.stop(1)


def test_the_supervisor_exits_with_the_status_of_its_child(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
    child = child_process.start(command, environment={}, log=tmp_path / "log", grace_seconds=1)
    assert child_process.exit_status_words(child.process.wait(10)) == "killed by SIGKILL"
    child.close()


def test_a_long_log_is_rotated(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * 10_000_001)
    child = child_process.start(
        [sys.executable, "-c", ""], environment={}, log=tmp_path / "log", grace_seconds=1
    )
    child.process.wait(10)
    child.close()
    assert (tmp_path / "log").read_bytes() == b""
    assert (tmp_path / "log.old").stat().st_size == 10_000_001
