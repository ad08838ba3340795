"""A worker's health file in the home folder, written every few seconds and read by `notemill health`.

A file, so that a health check does not depend on Redis or the database: an orchestrator must not kill a
worker because they are unreachable. Holds no ids and no text.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.settings import Settings

WRITE_INTERVAL_SECONDS = 2.0
_OLD_SECONDS = 3_600.0
WorkerState = Literal["loading", "serving", "stopping", "stalled"]


class WorkerHealth(BaseModel):
    """The state that a worker reports."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """`HOST:PID:START`."""
    state: WorkerState
    in_hand: int = Field(default=0, ge=0)
    taken: int = Field(default=0, ge=0)
    """Documents claimed since the start."""
    is_database_there: bool = True
    is_redis_there: bool = True


class HealthReading(NamedTuple):
    """A health file's content and age."""

    health: WorkerHealth
    seconds_old: float


def write(settings: Settings, health: WorkerHealth) -> None:
    """Writes the file atomically. Raises OSError."""
    path = _folder(settings) / f"{health.name.replace(':', '-')}.json"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(health.model_dump_json())
    fresh.replace(path)


def remove_stale(settings: Settings) -> None:
    """Deletes the files of killed workers after an hour."""
    for path in _folder(settings).glob("*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _OLD_SECONDS:
                path.unlink()


def remove(settings: Settings, name: str) -> None:
    """Deletes the worker's file at its orderly shutdown."""
    (_folder(settings) / f"{name.replace(':', '-')}.json").unlink(missing_ok=True)


def readings_of_host(settings: Settings, host: str) -> list[HealthReading]:
    """The health of workers on the host of this name, the newest first; hosts may share a home folder."""
    readings = [reading for reading in _all(settings) if reading.health.name.startswith(f"{host}:")]
    return sorted(readings, key=lambda reading: reading.seconds_old)


def _all(settings: Settings) -> Iterator[HealthReading]:
    for path in _folder(settings).glob("*.json"):
        try:
            text, age = path.read_text(), time.time() - path.stat().st_mtime
            yield HealthReading(WorkerHealth.model_validate_json(text), max(0.0, age))
        except (OSError, ValidationError):
            continue


def _folder(settings: Settings) -> Path:
    return settings.home_folder / "pulse"
