"""Faults that strike inside a worker: a file orders one, and the first worker that takes it away has it."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER_VARIABLE = "CHAOS_TRIGGERS"
KILL_BEFORE_COMMIT = "kill_before_commit"
KILL_AFTER_COMMIT = "kill_after_commit"
OUT_OF_MEMORY = "worker_out_of_memory"
ENGINE_OUT_OF_MEMORY = "engine_out_of_memory"


def order(folder: Path, name: str) -> None:
    (folder / name).touch()


def is_open(folder: Path, name: str) -> bool:
    return (folder / name).exists()


def withdraw_all(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink(missing_ok=True)


def take(name: str) -> bool:
    """In a worker: whether the fault was ordered, and is this worker's now."""
    try:
        (Path(os.environ[FOLDER_VARIABLE]) / name).unlink()
    except FileNotFoundError:
        return False
    return True
