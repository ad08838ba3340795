"""Kills the worker repeatedly with SIGKILL, then checks that every note is answered and no row is doubled.

    python -m resilience.kill_worker --notes 60 --kills 10

Uses the weights of the effective settings, with its own database and Redis in a temporary folder.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import text

from benchmarks.pipeline_run import example_documents
from console.processes.embedded_redis import start_redis
from models.documents import Document
from models.migrations import schema_version
from models.queries.queries import Queries
from models.schema.database import connect, read_transaction
from models.settings import Settings, as_environment, load_settings
from producer.submission.submit import submit
from worker.queue.worker_command import worker_command
from worker.recipe import serving
from worker.weights.model_files import prepared_folder

ROOT = Path(__file__).parents[1]
CHECKS = {
    "jobs without an end": "SELECT COUNT(*) FROM jobs WHERE status IN ('pending', 'running')",
    "jobs that failed": "SELECT COUNT(*) FROM jobs WHERE status = 'failed'",
    "jobs finished twice": "SELECT COUNT(*) FROM (SELECT job_id FROM attempts WHERE ended_as = 'finished'"
    " GROUP BY job_id HAVING COUNT(*) > 1) AS doubled",
    "finished jobs without one finished attempt": "SELECT COUNT(*) FROM jobs WHERE status = 'finished'"
    " AND id NOT IN (SELECT job_id FROM attempts WHERE ended_as = 'finished')",
}
"""Counts that must be 0."""


def main(notes: int, kills: int, words: int, tasks: Sequence[str], max_life_seconds: float) -> int:
    with tempfile.TemporaryDirectory(prefix="notemill-kill-") as folder:
        settings = _settings(Path(folder))
        redis = start_redis(settings)
        try:
            settings = settings.model_copy(update={"redis_url": SecretStr(redis.url)})
            return _run(settings, example_documents(notes, words), kills, tasks, max_life_seconds)
        finally:
            redis.stop()


def _run(
    settings: Settings,
    documents: Iterator[Document],
    kills: int,
    tasks: Sequence[str],
    max_life_seconds: float,
) -> int:
    engine = connect(settings.effective_database_url)
    schema_version.upgrade(engine)
    queries, started = Queries(engine), time.monotonic()
    submit(
        documents,
        tasks=tasks,
        searches=["Is there pain?"],
        settings=settings,
        serving=serving(settings),
    )
    for number in range(1, kills + 1):
        _start_and_kill(settings, queries, random.uniform(0, max_life_seconds))
        print(f"kill {number}: {queries.counts()['jobs']}", flush=True)
    worker = _start(settings)
    while _open_jobs(queries):
        time.sleep(0.2)
    worker.terminate()
    worker.wait()
    print(f"{queries.counts()} after {time.monotonic() - started:.0f} s")
    with read_transaction(engine) as connection:
        counts = {
            name: connection.execute(text(statement)).scalar_one() for name, statement in CHECKS.items()
        }
        claims = connection.execute(text("SELECT COUNT(*), MAX(attempt) FROM attempts")).one()
    print(f"{claims[0]} claims, at most {claims[1]} of one job; {counts}")
    return int(any(counts.values()))


def _settings(folder: Path) -> Settings:
    """The effective settings, with the folder of the prepared weights and everything else in `folder`."""
    effective = load_settings()
    own = {"home": folder, "weights": str(prepared_folder(effective)), "database_url": SecretStr("")}
    return effective.model_copy(update={**own, "redis_url": SecretStr("")})


def _start(settings: Settings) -> subprocess.Popen[bytes]:
    with (settings.home_folder / "worker.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603  our own command
            worker_command(settings), env=as_environment(settings), cwd=ROOT, stdout=log, stderr=log
        )


def _start_and_kill(settings: Settings, queries: Queries, life_seconds: float) -> None:
    """Starts a worker and kills it `life_seconds` after it has claimed work."""
    worker = _start(settings)
    while _open_jobs(queries) and not any(f":{worker.pid}:" in name for name in queries.busy_workers()):
        time.sleep(0.05)
    time.sleep(life_seconds)
    worker.kill()
    worker.wait()


def _open_jobs(queries: Queries) -> int:
    jobs = queries.counts()["jobs"]
    return int(jobs["pending"] + jobs["running"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--notes", type=int, default=60)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--words", type=int, default=200)
    parser.add_argument("--tasks", nargs="*", default=["entities"], help="tasks in addition to a search")
    parser.add_argument("--longest-life-seconds", type=float, default=8.0)
    given = parser.parse_args()
    sys.exit(main(given.notes, given.kills, given.words, given.tasks, given.longest_life_seconds))
