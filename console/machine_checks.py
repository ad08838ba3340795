"""The doctor on the machine: Python, home folder, disk, memory, GPU."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from console.check import Check
from console.embedded import make_home
from console.service_checks import weights_bytes
from console.terminal import human_bytes
from models.settings import Settings
from worker.weights import is_prepared

_LEAST_DISK_BYTES = 2e9
_MEMORY_A_WEIGHT_BYTE = 1.3
"""The weights, and what is computed with them."""


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


def check_memory(settings: Settings) -> Check:
    available = _available_memory_bytes()
    needed = weights_bytes(settings) * _MEMORY_A_WEIGHT_BYTE + 1e9 if is_prepared(settings) else 1.5e9
    if available is None:
        return Check("memory", True, "cannot be told on this system")
    is_ok = available >= needed or settings.device == "cuda" or settings.engine == "http"
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


def _available_memory_bytes() -> int | None:
    """What programs may take, the disk cache included, where the system tells that."""
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
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
