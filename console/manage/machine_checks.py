"""Checks of the machine: Python, home folder, disk, GPU."""

from __future__ import annotations

import os
import platform
import shutil
import sys

from console.manage.doctor_check import Check
from console.manage.nvidia_smi import nvidia_cards
from console.processes.embedded_redis import make_home_folder
from console.terminal.terminal import human_bytes
from models.settings import Settings

_LEAST_DISK_BYTES = 2e9


def check_python(_settings: Settings) -> Check:
    is_ok = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Check("Python", is_ok, platform.python_version(), "" if is_ok else "use Python 3.11, 3.12 or 3.13")


def check_home(settings: Settings) -> Check:
    home = make_home_folder(settings)
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
    free = shutil.disk_usage(make_home_folder(settings)).free
    is_ok = free >= _LEAST_DISK_BYTES
    todo = "" if is_ok else "free some space, or set NOTEMILL_HOME to a folder on another disk"
    return Check("disk", is_ok, f"{human_bytes(free)} free", todo, is_blocking=free < _LEAST_DISK_BYTES / 10)


def check_gpu(settings: Settings) -> Check:
    cards = nvidia_cards()
    if cards:
        return Check(
            "GPU", True, "; ".join(f"{card.name}, {human_bytes(card.free_bytes)} free" for card in cards)
        )
    if settings.device == "cuda":
        return Check("GPU", False, "none, but NOTEMILL_DEVICE is cuda", "set NOTEMILL_DEVICE=auto")
    return Check("GPU", True, "none; the CPU computes, which is enough for the embedded weights")
