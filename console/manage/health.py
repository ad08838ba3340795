"""`notemill health`: checks that a worker of this machine is alive, or ready; the exit status is the result.

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
    """Prints the health of the best worker; exit status 0 if it is alive, or ready if that was asked."""
    readings = health_file.readings_of_host(load_settings(), socket.gethostname())
    checks = [(_why_not_alive(reading), _why_not_ready(reading), reading) for reading in readings]
    why_not = "no worker has a pulse here: type `notemill worker`"
    if checks:
        alive, ready, _ = min(
            checks, key=lambda check: (bool(check[0]), bool(check[1]), check[2].seconds_old)
        )
        why_not = ready if is_ready_asked else alive
    if as_json:
        print(json.dumps([_described(*check) for check in checks]))
    else:
        stdout().print(why_not or ("ready" if is_ready_asked else "alive"), soft_wrap=True)
    return PROBLEM if why_not else 0


def _why_not_alive(reading: HealthReading) -> str:
    if reading.seconds_old > DEAD_SECONDS:
        return f"worker {reading.health.name} gave no sign of life for {reading.seconds_old:.0f} s"
    if reading.health.state == "stalled":
        return f"worker {reading.health.name} stopped taking messages and ends"
    return ""


def _why_not_ready(reading: HealthReading) -> str:
    if why_not := _why_not_alive(reading):
        return why_not
    if reading.health.state != "serving":
        return f"worker {reading.health.name} is {reading.health.state}"
    away = [
        name
        for name, is_there in (
            ("the database", reading.health.is_database_there),
            ("Redis", reading.health.is_redis_there),
        )
        if not is_there
    ]
    return f"worker {reading.health.name} waits for {' and '.join(away)}" if away else ""


def _described(why_not_alive: str, why_not_ready: str, reading: HealthReading) -> dict[str, object]:
    verdict = {"is_alive": not why_not_alive, "is_ready": not why_not_ready}
    return reading.health.model_dump() | {"seconds_old": round(reading.seconds_old, 1)} | verdict
