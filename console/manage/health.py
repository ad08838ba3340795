"""`notemill health`: whether a worker of this machine lives, or is ready, as an exit status.

Made for compose and Kubernetes: reads the health file that the worker writes. Liveness and readiness differ:
a worker that loads its weights, or whose database is unavailable, lives, and killing it helps nobody.
"""

from __future__ import annotations

import json
import socket

from console.terminal.exit_status import PROBLEM
from console.terminal.terminal import stdout
from models import health_file
from models.health_file import HealthReading
from models.settings import load_settings

DEAD_SECONDS = 30.0
"""Age of a health file beyond which its worker is gone or hangs; it is written every two seconds."""


def show_health(*, is_ready_asked: bool, as_json: bool) -> int:
    """Exit status 0: alive, or ready where that was asked; 1: not. The healthiest worker counts."""
    readings = health_file.readings_of_host(load_settings(), socket.gethostname())
    judged = [(_why_not_alive(felt), _why_not_ready(felt), felt) for felt in readings]
    why_not = "no worker has a pulse here: type `notemill worker`"
    if judged:
        alive, ready, _ = min(
            judged, key=lambda judgement: (bool(judgement[0]), bool(judgement[1]), judgement[2].seconds_old)
        )
        why_not = ready if is_ready_asked else alive
    if as_json:
        print(json.dumps([_described(*judgement) for judgement in judged]))
    else:
        stdout().print(why_not or ("ready" if is_ready_asked else "alive"), soft_wrap=True)
    return PROBLEM if why_not else 0


def _why_not_alive(felt: HealthReading) -> str:
    if felt.seconds_old > DEAD_SECONDS:
        return f"worker {felt.health.name} gave no sign of life for {felt.seconds_old:.0f} s"
    if felt.health.state == "stalled":
        return f"worker {felt.health.name} stopped taking messages and ends"
    return ""


def _why_not_ready(felt: HealthReading) -> str:
    if why_not := _why_not_alive(felt):
        return why_not
    if felt.health.state != "serving":
        return f"worker {felt.health.name} is {felt.health.state}"
    away = [
        name
        for name, is_there in (
            ("the database", felt.health.is_database_there),
            ("Redis", felt.health.is_redis_there),
        )
        if not is_there
    ]
    return f"worker {felt.health.name} waits for {' and '.join(away)}" if away else ""


def _described(why_not_alive: str, why_not_ready: str, felt: HealthReading) -> dict[str, object]:
    judged = {"is_alive": not why_not_alive, "is_ready": not why_not_ready}
    return felt.health.model_dump() | {"seconds_old": round(felt.seconds_old, 1)} | judged
