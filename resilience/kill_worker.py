"""SIGKILL to the worker again and again while notes run; then: is every note answered, and no row doubled?

    python resilience/kill_worker.py --notes 60 --kills 10

Uses the effective settings' weights, and a database and a Redis of its own in a temporary folder.
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
NOTES = ROOT / "examples" / "notes"
CHECKS = {
    "jobs without an end": "SELECT COUNT(*) FROM jobs WHERE status IN ('pending', 'running')",
    "jobs that failed": "SELECT COUNT(*) FROM jobs WHERE status = 'failed'",
    "jobs finished twice": "SELECT COUNT(*) FROM (SELECT job_id FROM attempts WHERE ended_as = 'finished'"
    " GROUP BY job_id HAVING COUNT(*) > 1) AS doubled",
    "finished jobs without one finished attempt": "SELECT COUNT(*) FROM jobs WHERE status = 'finished'"
    " AND id NOT IN (SELECT job_id FROM attempts WHERE ended_as = 'finished')",
}
"""Each has to be 0."""


def main(notes: int, kills: int, words: int, tasks: Sequence[str], longest_life_seconds: float) -> int:
    with tempfile.TemporaryDirectory(prefix="notemill-kill-") as folder:
        settings = _settings(Path(folder))
        redis = start_redis(settings)
        try:
            settings = settings.model_copy(update={"redis_url": SecretStr(redis.url)})
            return _run(settings, _documents(notes, words), kills, tasks, longest_life_seconds)
        finally:
            redis.stop()


def _run(
    settings: Settings,
    documents: Iterator[Document],
    kills: int,
    tasks: Sequence[str],
    longest_life_seconds: float,
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
        _start_and_kill(settings, queries, random.uniform(0, longest_life_seconds))
        print(f"kill {number}: {queries.counts()['jobs']}", flush=True)
    worker = _start(settings)
    while _open_jobs(queries):
        time.sleep(0.2)
    worker.terminate()
    worker.wait()
    print(f"{queries.counts()} after {time.monotonic() - started:.0f} s")
    with read_transaction(engine) as connection:
        found = {what: connection.execute(text(statement)).scalar_one() for what, statement in CHECKS.items()}
        claims = connection.execute(text("SELECT COUNT(*), MAX(attempt) FROM attempts")).one()
    print(f"{claims[0]} claims, at most {claims[1]} of one job; {found}")
    return int(any(found.values()))


def _settings(folder: Path) -> Settings:
    """The effective ones, with the prepared weights by their folder and everything else in `folder`."""
    effective = load_settings()
    own = {"home": folder, "weights": str(prepared_folder(effective)), "database_url": SecretStr("")}
    return effective.model_copy(update={**own, "redis_url": SecretStr("")})


def _documents(notes: int, words: int) -> Iterator[Document]:
    """The example notes in turn, cut to `words` words, each different from all others."""
    texts = [path.read_text("utf-8").split(" ")[:words] for path in sorted(NOTES.glob("*.txt"))]
    for number in range(notes):
        body = " ".join(texts[number % len(texts)])
        yield Document(external_id=f"note-{number}", text=f"Visit {number}.\n{body}")


def _start(settings: Settings) -> subprocess.Popen[bytes]:
    with (settings.home_folder / "worker.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603  our own command
            worker_command(settings), env=as_environment(settings), cwd=ROOT, stdout=log, stderr=log
        )


def _start_and_kill(settings: Settings, queries: Queries, life_seconds: float) -> None:
    """The life begins when the worker has work in hand."""
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
    parser.add_argument("--tasks", nargs="*", default=["entities"], help="besides a search")
    parser.add_argument("--longest-life-seconds", type=float, default=8.0)
    given = parser.parse_args()
    sys.exit(main(given.notes, given.kills, given.words, given.tasks, given.longest_life_seconds))
