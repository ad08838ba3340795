"""Prepares weights once, in a separate process, and returns the serving of this machine's worker.

Preparation needs torch and much memory; a process of its own returns both.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from console.processes.worker_process import worker_environment
from console.terminal.opened_database import Database
from console.terminal.terminal import command_to_type, stderr, stdout
from models.errors import NotemillError
from models.jobs import Serving
from models.settings import Settings, load_settings
from worker.recipe import serving
from worker.weights.model_files import EMBEDDED, is_prepared, prepared_folder
from worker.weights.model_files import prepare as prepare_weights


class PreparationError(NotemillError):
    """The weights could not be prepared."""


def ensure_serving(settings: Settings, database: Database, say: Callable[[str], None]) -> Serving:
    """The serving of this machine's worker, announced; without weights here, the one that a worker announced.
    Prepares the embedded weights where they are needed. Raises NotemillError where there is none."""
    announced = announced_serving(settings, database)
    if announced is not None:
        return announced
    if settings.weights == EMBEDDED and not is_prepared(settings):
        say("Preparing the embedded weights; this is done once and takes about a minute.")
        _prepare_apart(settings, say)
    prepared_folder(settings)
    ours = serving(settings)
    database.store.announce(ours)
    return ours


def announced_serving(settings: Settings, database: Database) -> Serving | None:
    """The serving that workers announced, on a machine without weights; None on any other."""
    if is_prepared(settings) or settings.is_redis_embedded:
        return None
    return database.queries.current_serving()


def prepare() -> int:
    """`notemill weights prepare`: prints steps to standard error and the folder to standard output."""
    settings = load_settings()
    console = stderr()
    was_prepared = is_prepared(settings)
    folder = prepare_weights(settings, lambda step: console.print(f"{step} …", soft_wrap=True))
    console.print("They were ready before." if was_prepared else "The weights are ready.")
    stdout().print(str(folder), soft_wrap=True)
    return 0


def _prepare_apart(settings: Settings, say: Callable[[str], None]) -> None:
    log = settings.home_folder / "logs" / "weights.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "notemill", "weights", "prepare"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=worker_environment(settings),
        text=True,
        errors="replace",
    )
    last_message = ""
    with log.open("a", encoding="utf-8") as file, process:
        for line in process.stderr or ():
            file.write(line)
            if line.rstrip().endswith("…"):
                say(f"  {line.strip()}")
            if line.startswith("notemill: "):
                last_message = line.removeprefix("notemill: ").strip()
    if process.returncode != 0:
        raise PreparationError(
            last_message or f"the weights could not be prepared; see {log}, then: {command_to_type('doctor')}"
        )
