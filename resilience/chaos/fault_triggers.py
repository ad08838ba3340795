"""Faults inside a process: a file arms a fault, and the process that removes the file triggers it."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER_VARIABLE = "CHAOS_TRIGGERS"
_TRIGGERED = "taken.txt"
KILL_BEFORE_COMMIT = "kill_before_commit"
KILL_AFTER_COMMIT = "kill_after_commit"
OUT_OF_MEMORY = "worker_out_of_memory"
ENGINE_OUT_OF_MEMORY = "engine_out_of_memory"
UNEXPECTED_ERRORS = (OUT_OF_MEMORY, ENGINE_OUT_OF_MEMORY)
PRODUCER_KILLED_BEFORE_COMMIT = "producer_killed_before_commit"
PRODUCER_KILLED_AFTER_COMMIT = "producer_killed_after_commit"


def arm(folder: Path, name: str) -> None:
    (folder / name).touch()


def is_armed(folder: Path, name: str) -> bool:
    return (folder / name).exists()


def armed_names(folder: Path) -> set[str]:
    """Armed faults that no process has triggered yet."""
    return {path.name for path in folder.iterdir()}


def disarm(folder: Path, name: str) -> bool:
    """Removes a fault; returns True if it was still armed."""
    try:
        (folder / name).unlink()
    except FileNotFoundError:
        return False
    return True


def trigger(name: str) -> bool:
    """Called at an injection point: whether the fault is armed and this process takes it."""
    folder = Path(os.environ[FOLDER_VARIABLE])
    is_ours = disarm(folder, name)
    if is_ours:
        with folder.with_name(_TRIGGERED).open("a") as file:
            file.write(f"{name} {os.getpid()}\n")
    return is_ours


def triggered_pids(folder: Path, *names: str) -> set[int]:
    """Ids of the processes that triggered one of these faults."""
    path = folder.with_name(_TRIGGERED)
    lines = path.read_text("ascii").splitlines() if path.exists() else []
    return {int(line.split()[1]) for line in lines if line.split()[0] in names}
