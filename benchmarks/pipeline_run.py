"""Measures one stretch of the machinery: documents registered and enqueued, then worked off.

Processes, Redis and databases are real; only the engine answers at once. Knows no table and no JSON.
"""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import redis
from sqlalchemy import text

from benchmarks.archive import bare_worker
from models.documents import Document
from models.migrations import schema_version
from models.schema.database import connect, read_transaction
from models.settings import Settings, as_environment
from producer.submission.redis_publisher import queue_length
from producer.submission.submit import submit
from worker.queue.worker_command import worker_command
from worker.recipe import serving

ROOT = Path(__file__).parents[1]
NOTES = ROOT / "examples" / "notes"
_LONGEST_WAIT_SECONDS = 1_800.0
_SPAN = {
    "sqlite": "SELECT (julianday(MAX(finished_at)) - julianday(MIN(started_at))) * 86400 FROM jobs",
    "postgresql": "SELECT EXTRACT(EPOCH FROM MAX(finished_at) - MIN(started_at)) FROM jobs",
}
"""From the first claim to the last row: the worker's start is not in it."""


@dataclass(frozen=True, slots=True)
class PipelineFigures:
    """What so many documents took, from the source to the rows."""

    documents: int
    jobs: int
    submits_per_second: float
    """Documents read, registered in SQL and enqueued in Redis."""
    jobs_per_second: float
    """From the first claim to the last row."""
    worker_cpu_ms_per_job: float
    """Of all threads; a busy machine changes it least."""
    redis_bytes_per_job: float
    producer_mib: float
    """The most resident memory that the process ever had."""
    worker_mib: float
    """The same, of the largest worker."""


def measure_pipeline(
    settings: Settings, *, documents: int, words: int, queries: int, workers: int
) -> PipelineFigures:
    """On an empty database and Redis, those of the settings. Raises RuntimeError where a job failed."""
    engine = connect(settings.effective_database_url)
    schema_version.upgrade(engine)
    client, url = _client(settings), settings.redis_url.get_secret_value()
    client.flushall()
    empty_bytes = client.info("memory")["used_memory"]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        submit_seconds, producer_mib = alone.submit(_submit, settings, documents, words, queries).result()
    redis_bytes = client.info("memory")["used_memory"] - empty_bytes
    with _workers(
        settings, worker_command(settings, app="benchmarks.archive.instant_worker:app"), workers
    ) as pids:
        _until(lambda: queue_length(url).waiting < documents)
        cpu_before = sum(map(cpu_seconds, pids))
        _until(lambda: queue_length(url).total == 0)
        cpu = sum(map(cpu_seconds, pids)) - cpu_before
        worker_mib = max(map(_peak_mib, pids))
    with read_transaction(engine) as connection:
        finished = connection.execute(
            text("SELECT COUNT(*) FROM jobs WHERE status = 'finished'")
        ).scalar_one()
        seconds = connection.execute(text(_SPAN[engine.dialect.name])).scalar_one()
    engine.dispose()
    if finished != documents * queries:
        raise RuntimeError(f"{finished} of {documents * queries} jobs finished: see {_log(settings)}")
    return PipelineFigures(
        documents=documents,
        jobs=finished,
        submits_per_second=documents / submit_seconds,
        jobs_per_second=finished / float(seconds),
        redis_bytes_per_job=redis_bytes / finished,
        worker_cpu_ms_per_job=1_000 * cpu / finished,
        producer_mib=producer_mib,
        worker_mib=worker_mib,
    )


def bare_jobs_per_second(settings: Settings, *, messages: int, workers: int) -> float:
    """Messages a second through as many bare Celery workers, whose task does nothing."""
    client, url = _client(settings), settings.redis_url.get_secret_value()
    client.flushall()
    os.environ["BARE_REDIS_URL"] = url
    bare_worker.app.conf.broker_url = url
    with bare_worker.app.producer_or_acquire() as producer, producer.batch(max_size=500):
        for number in range(messages):
            bare_worker.app.send_task(
                bare_worker.TASK_NAME, kwargs={"document_id": number}, producer=producer, declare=[]
            )
    command = worker_command(settings, app="benchmarks.archive.bare_worker:app")
    command[command.index("--queues") + 1] = bare_worker.QUEUE_NAME
    waiting = lambda: int(client.llen(bare_worker.QUEUE_NAME))  # noqa: E731
    with _workers(settings, command, workers):
        _until(lambda: waiting() < messages)
        began, begun = time.monotonic(), waiting()
        _until(lambda: not waiting() and not client.hlen("unacked"))
        return begun / (time.monotonic() - began)


def example_documents(documents: int, words: int) -> Iterator[Document]:
    """The example notes in turn, cut to `words` words, each different from all others."""
    texts = [path.read_text("utf-8").split(" ")[:words] for path in sorted(NOTES.glob("*.txt"))]
    bodies = [" ".join(words_of_one) for words_of_one in texts]
    for number in range(documents):
        yield Document(external_id=f"note-{number}", text=f"Visit {number}.\n{bodies[number % len(bodies)]}")


def _submit(settings: Settings, documents: int, words: int, queries: int) -> tuple[float, float]:
    """In a process of its own: seconds, and its peak memory in MiB."""
    searches = [f"Is there a sign of infection number {number}?" for number in range(queries)]
    served, began = serving(settings), time.monotonic()
    submit(
        example_documents(documents, words), tasks=[], searches=searches, settings=settings, serving=served
    )
    return time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def _workers(settings: Settings, command: list[str], workers: int) -> Iterator[list[int]]:
    environment = as_environment(settings) | {"PYTHONPATH": str(ROOT)}
    with _log(settings).open("ab") as log:
        started = [
            subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log)  # noqa: S603
            for _ in range(workers)
        ]
    try:
        yield [process.pid for process in started]
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _LONGEST_WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {_LONGEST_WAIT_SECONDS:.0f} s")
        time.sleep(0.05)


def _peak_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def cpu_seconds(pid: int) -> float:
    """User and system, of all its threads (fields 14 and 15 of proc(5)'s stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _client(settings: Settings) -> redis.Redis:
    path = settings.redis_url.get_secret_value().removeprefix("redis+socket://")
    return redis.Redis(unix_socket_path=path)


def _log(settings: Settings) -> Path:
    return settings.home_folder / "worker.log"
