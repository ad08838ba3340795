"""Throughput of one queue with several worker processes.

    python -m benchmarks.scaling --workers 1,2,4 --notes 2000
    python -m benchmarks.scaling --workers 1,2,4 --notes 12 --engine real

All workers are ready before the first note is submitted. `instant` is an engine that answers at once, which
leaves the cost of the pipeline. `real` is the default engine with the weights of NOTEMILL_HOME, one thread a
worker. Processes, Redis and PostgreSQL are real. Jobs a second are by the clock, from the first claim to the
last row; CPU milliseconds a job add up all workers; `taken` is the number of jobs of each worker.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import text

from benchmarks.pipeline_run import cpu_seconds, example_documents
from console.processes.embedded_redis import start_redis, with_redis
from models.migrations import schema_version
from models.schema.database import connect, read_transaction
from models.settings import Settings, as_environment, load_settings
from producer.submission.submit import submit
from tests.support.postgres_server import database_url, execute, postgres_server
from worker.queue.worker_command import worker_command
from worker.recipe import serving

ROOT = Path(__file__).parents[1]
APPS = {"instant": "benchmarks.archive.instant_worker:app", "real": "worker.app:app"}
SEARCHES = ("Is there a sign of infection?",)


@dataclass(frozen=True, slots=True)
class ScalingFigures:
    """Throughput with a number of workers on one queue."""

    workers: int
    jobs: int
    jobs_per_second: float
    cpu_ms_per_job: float
    taken: list[int]


def main(given: argparse.Namespace) -> int:
    table = sys.stderr if given.json else sys.stdout
    print(f"{'workers':>7} {'jobs':>7} {'jobs/s':>8} {'CPU ms/job':>11}  taken by each", file=table)
    measured = []
    for run in _measure_runs(given):
        measured.append(asdict(run))
        row = f"{run.workers:>7} {run.jobs:>7} {run.jobs_per_second:>8.2f} {run.cpu_ms_per_job:>11.2f}"
        print(f"{row}  {', '.join(map(str, run.taken))}", file=table, flush=True)
    if given.json:
        print(json.dumps({"engine": given.engine, "measured": measured}))
    return 0


def _measure_runs(given: argparse.Namespace) -> Iterator[ScalingFigures]:
    with tempfile.TemporaryDirectory(prefix="nm-") as folder, postgres_server() as server:
        for number in map(int, given.workers.split(",")):
            execute(server, f"CREATE DATABASE with_{number}")
            settings = _settings(Path(folder), given.engine, database_url(server, f"with_{number}"))
            yield _measure_run(settings, number, given)


def _settings(folder: Path, engine: str, url: str) -> Settings:
    secret_url = SecretStr(url)
    if engine == "real":
        return load_settings().model_copy(update={"database_url": secret_url})
    weights = folder / "weights"
    weights.mkdir(exist_ok=True)
    (weights / "config.json").write_text("{}")
    return Settings(home=folder, weights=str(weights), adapter="none", database_url=secret_url)


def _measure_run(settings: Settings, workers: int, given: argparse.Namespace) -> ScalingFigures:
    database = connect(settings.effective_database_url)
    schema_version.upgrade(database)
    redis = start_redis(settings)
    served = with_redis(settings, redis.url)
    tasks = ("entities", "summary") if given.engine == "real" else ()
    try:
        with _ready_workers(served, workers, APPS[given.engine]) as pids:
            before = sum(map(cpu_seconds, pids))
            submit(
                example_documents(given.notes, given.words),
                tasks=tasks,
                searches=SEARCHES,
                settings=served,
                serving=serving(served),
            )
            while (jobs := _finished_jobs(served)) is None:
                time.sleep(0.2)
            cpu = sum(map(cpu_seconds, pids)) - before
        with read_transaction(database) as connection:
            duration = "SELECT EXTRACT(EPOCH FROM MAX(finished_at) - MIN(started_at)) FROM jobs"
            seconds = float(connection.execute(text(duration)).scalar_one())
            jobs_of_workers = "SELECT COUNT(DISTINCT job_id) FROM attempts GROUP BY worker ORDER BY 1"
            taken = list(connection.scalars(text(jobs_of_workers)))
    finally:
        redis.stop()
        database.dispose()
    return ScalingFigures(workers, jobs, round(jobs / seconds, 2), round(1_000 * cpu / jobs, 2), taken)


def _finished_jobs(settings: Settings) -> int | None:
    """The number of jobs once none is pending or running; None before."""
    database = connect(settings.effective_database_url)
    with read_transaction(database) as connection:
        open_jobs, jobs = connection.execute(
            text("SELECT COUNT(*) FILTER (WHERE status IN ('pending', 'running')), COUNT(*) FROM jobs")
        ).one()
    database.dispose()
    return None if open_jobs else int(jobs)


@contextmanager
def _ready_workers(settings: Settings, workers: int, app: str) -> Iterator[list[int]]:
    """Process ids of workers that have loaded their engine and wait for notes."""
    environment = as_environment(settings) | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with tempfile.NamedTemporaryFile("r") as log, Path(log.name).open("ab") as output:
        started = [
            subprocess.Popen(  # noqa: S603
                worker_command(settings, app=app), env=environment, cwd=ROOT, stdout=output, stderr=output
            )
            for _ in range(workers)
        ]
        try:
            while Path(log.name).read_text().count(" serves ") < workers:
                if any(process.poll() is not None for process in started):
                    raise RuntimeError(Path(log.name).read_text())
                time.sleep(0.1)
            yield [process.pid for process in started]
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", default="1,2,4", metavar="LIST", help="numbers of workers")
    parser.add_argument("--notes", type=int, default=2_000, help="notes in each run (default: 2000)")
    parser.add_argument("--words", type=int, default=150, metavar="N", help="words of each note at most")
    parser.add_argument("--engine", choices=sorted(APPS), default="instant")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(main(parser.parse_args()))
