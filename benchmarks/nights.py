"""Three nightly runs on an archive of notes, with an engine that answers at once.

    python -m benchmarks.nights --notes 2000 --new 50

The first run reads the whole archive, the second only the notes that are new since then. The third finds as
many new notes as the first and must stop after --seconds. `notemill nightly` is started as a scheduler starts
it; the database, Redis and the worker are real. Prints one JSON object a run: exit status, counts, and
seconds by the clock, which include Python's start and the report. Exit status 1 when a run did not do what
was expected.
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
STOPPED_AT_DEADLINE = 75
"""Exit status of `notemill nightly` when notes remain for the next run."""
PLAN = 'sources = ["archive"]\ntasks = []\nsearches = ["Is there a sign of infection?"]\n'


def main(given: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="nm-") as folder, _running_worker(Path(folder)) as settings:
        plan = settings.home / "archive.toml"
        plan.write_text(PLAN)
        _write_notes(settings.home / "archive" / "first", given.notes)
        runs = [_run_nightly(settings, plan)]
        _write_notes(settings.home / "archive" / "second", given.new)
        runs.append(_run_nightly(settings, plan))
        _write_notes(settings.home / "archive" / "third", given.notes)
        until = datetime.now().astimezone() + timedelta(seconds=given.seconds)
        runs.append(_run_nightly(settings, plan, "--until", f"{until:%H:%M:%S}"))
    for run in runs:
        print(json.dumps(run))
    first, second, third = runs
    is_as_expected = (
        (first["status"], first["jobs_done"]) == (0, given.notes)
        and (second["status"], second["notes_new"], second["jobs_done"]) == (0, given.new, given.new)
        and third["status"] in (0, STOPPED_AT_DEADLINE)
        and third["jobs_done"] + third["notes_left"] == given.notes
    )
    return 0 if is_as_expected else 1


def _run_nightly(settings: Settings, plan: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "notemill", "nightly", str(plan), "--json", *options]
    began = time.monotonic()
    finished = subprocess.run(  # noqa: S603
        command, env=as_environment(settings), capture_output=True, text=True, check=False
    )
    seconds = round(time.monotonic() - began, 1)
    if not finished.stdout:
        sys.stderr.write(finished.stderr)
    report = json.loads(finished.stdout or "{}")
    names = (
        "notes_new",
        "jobs_done",
        "notes_left",
        "is_stopped_at_deadline",
        "notes_an_hour",
        "forecast_seconds",
    )
    counts = {name: report.get(name) for name in names}
    seconds_working = round(report.get("seconds_working", 0.0), 1)
    return {"status": finished.returncode, **counts, "seconds_working": seconds_working, "seconds": seconds}


def _write_notes(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for document in example_documents(count, 150):
        (folder / f"{document.external_id}.txt").write_text(f"{folder.name}\n{document.text}", "utf-8")


@contextmanager
def _running_worker(home: Path) -> Iterator[Settings]:
    """Starts Redis and a worker that answers at once; yields the settings of a client on another machine."""
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
    parser.add_argument("--notes", type=int, default=2_000, help="notes in the archive (default: 2000)")
    parser.add_argument("--new", type=int, default=50, help="new notes of the second run (default: 50)")
    parser.add_argument("--seconds", type=float, default=30.0, help="time of the third run (default: 30)")
    sys.exit(main(parser.parse_args()))
