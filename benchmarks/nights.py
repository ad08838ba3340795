"""Two nights on an archive of notes with the engine that answers at once, then a third with a deadline.

    python -m benchmarks.nights --notes 2000 --new 50

The first night reads the whole archive, the second what came after it; before the third as many notes as
on the first are new, and it has --seconds. `notemill nightly` is run as a scheduler runs it; database, Redis
and the worker are real and in a temporary folder. Prints a JSON object a night: its exit status, what it
read and did, and seconds by the clock, Python's start and the report included. Exit status 1 where a night
was not as it should be.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from benchmarks.pipeline_run import example_documents
from console.processes.embedded_redis import start_redis, with_redis
from models.migrations import schema_version
from models.schema.database import connect
from models.settings import Settings, as_environment
from worker.queue.worker_command import worker_command

ROOT = Path(__file__).parents[1]
LEFT = 75
PLAN = 'sources = ["archive"]\ntasks = []\nsearches = ["Is there a sign of infection?"]\n'


def main(given: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="nm-") as folder, _served(Path(folder)) as settings:
        plan = settings.home / "archive.toml"
        plan.write_text(PLAN)
        _write(settings.home / "archive" / "first", given.notes)
        nights = [_night(settings, plan)]
        _write(settings.home / "archive" / "second", given.new)
        nights.append(_night(settings, plan))
        _write(settings.home / "archive" / "third", given.notes)
        until = datetime.now().astimezone() + timedelta(seconds=given.seconds)
        nights.append(_night(settings, plan, "--until", f"{until:%H:%M:%S}"))
    for night in nights:
        print(json.dumps(night))
    first, second, third = nights
    is_right = (
        (first["status"], first["jobs_done"]) == (0, given.notes)
        and (second["status"], second["notes_new"], second["jobs_done"]) == (0, given.new, given.new)
        and third["status"] in (0, LEFT)
        and third["jobs_done"] + third["notes_left"] == given.notes
    )
    return 0 if is_right else 1


def _night(settings: Settings, plan: Path, *more: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "notemill", "nightly", str(plan), "--json", *more]
    began = time.monotonic()
    done = subprocess.run(command, env=as_environment(settings), capture_output=True, text=True, check=False)  # noqa: S603
    seconds = round(time.monotonic() - began, 1)
    if not done.stdout:
        sys.stderr.write(done.stderr)
    report = json.loads(done.stdout or "{}")
    names = (
        "notes_new",
        "jobs_done",
        "notes_left",
        "is_stopped_at_deadline",
        "notes_an_hour",
        "forecast_seconds",
    )
    told = {name: report.get(name) for name in names}
    working = round(report.get("seconds_working", 0.0), 1)
    return {"status": done.returncode, **told, "seconds_working": working, "seconds": seconds}


def _write(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for document in example_documents(count, 150):
        (folder / f"{document.external_id}.txt").write_text(f"{folder.name}\n{document.text}", "utf-8")


@contextmanager
def _served(home: Path) -> Iterator[Settings]:
    """Settings whose Redis runs, with a worker that answers at once, as if it were another machine's."""
    weights = home / "weights"
    weights.mkdir()
    (weights / "config.json").write_text("{}")
    settings = Settings(
        home=home, weights=str(weights), adapter="none", redis_url=SecretStr(""), database_url=SecretStr("")
    )
    redis = start_redis(settings)
    served = with_redis(settings, redis.url)
    database = connect(served.effective_database_url)
    schema_version.upgrade(database)
    database.dispose()
    command = worker_command(served, app="benchmarks.archive.instant_worker:app")
    environment = as_environment(served) | {"PYTHONPATH": str(ROOT)}
    log = (home / "worker.log").open("wb")
    worker = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log)  # noqa: S603
    try:
        yield served
    finally:
        worker.terminate()
        worker.wait()
        log.close()
        redis.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--notes", type=int, default=2_000)
    parser.add_argument("--new", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30.0)
    sys.exit(main(parser.parse_args()))
