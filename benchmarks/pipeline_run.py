"""One measured pipeline run: documents are registered, enqueued and answered.

Processes, Redis and databases are real; only the engine answers at once. Formats nothing: callers print.
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
_MAX_WAIT_SECONDS = 1_800.0
_SECONDS_FROM_CLAIM_TO_LAST_ROW = {
    "sqlite": "SELECT (julianday(MAX(finished_at)) - julianday(MIN(started_at))) * 86400 FROM jobs",
    "postgresql": "SELECT EXTRACT(EPOCH FROM MAX(finished_at) - MIN(started_at)) FROM jobs",
}
"""Queries by SQL dialect. They leave out the worker's start."""


@dataclass(frozen=True, slots=True)
class PipelineFigures:
    """Rates and memory of one run, from the source to the rows."""

    documents: int
    jobs: int
    submits_per_second: float
    """Documents read, registered in SQL and enqueued in Redis a second."""
    jobs_per_second: float
    """Counted from the first claim to the last row."""
    worker_cpu_ms_per_job: float
    """CPU time of all threads: the figure that other load on the machine changes least."""
    redis_bytes_per_job: float
    producer_mib: float
    """Peak resident memory of the submitting process."""
    worker_mib: float
    """Peak resident memory of the largest worker process."""


def measure_pipeline(
    settings: Settings, *, documents: int, words: int, queries: int, workers: int
) -> PipelineFigures:
    """Figures of one run. The database of the settings must be empty; Redis is emptied.

    Raises RuntimeError when a job failed.
    """
    engine = connect(settings.effective_database_url)
    schema_version.upgrade(engine)
    client, url = _client(settings), settings.redis_url.get_secret_value()
    client.flushall()
    empty_bytes = client.info("memory")["used_memory"]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as producer:
        submit_seconds, producer_mib = producer.submit(_submit, settings, documents, words, queries).result()
    redis_bytes = client.info("memory")["used_memory"] - empty_bytes
    with _workers(
        settings, worker_command(settings, app="benchmarks.archive.instant_worker:app"), workers
    ) as pids:
        _wait_until(lambda: queue_length(url).waiting < documents)
        cpu_before = sum(map(cpu_seconds, pids))
        _wait_until(lambda: queue_length(url).total == 0)
        cpu = sum(map(cpu_seconds, pids)) - cpu_before
        worker_mib = max(map(_peak_mib, pids))
    with read_transaction(engine) as connection:
        finished = connection.execute(
            text("SELECT COUNT(*) FROM jobs WHERE status = 'finished'")
        ).scalar_one()
        seconds = connection.execute(text(_SECONDS_FROM_CLAIM_TO_LAST_ROW[engine.dialect.name])).scalar_one()
    engine.dispose()
    if finished != documents * queries:
        raise RuntimeError(f"{finished} of {documents * queries} jobs finished: see {_worker_log(settings)}")
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
    """Messages a second that bare Celery workers take, whose task does nothing."""
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
        _wait_until(lambda: waiting() < messages)
        began, remaining = time.monotonic(), waiting()
        _wait_until(lambda: not waiting() and not client.hlen("unacked"))
        return remaining / (time.monotonic() - began)


def example_documents(documents: int, words: int) -> Iterator[Document]:
    """The example notes in turn, cut to `words` words. A visit number makes each document different."""
    texts = [path.read_text("utf-8").split(" ")[:words] for path in sorted(NOTES.glob("*.txt"))]
    bodies = [" ".join(words_of_note) for words_of_note in texts]
    for number in range(documents):
        yield Document(external_id=f"note-{number}", text=f"Visit {number}.\n{bodies[number % len(bodies)]}")


def _submit(settings: Settings, documents: int, words: int, queries: int) -> tuple[float, float]:
    """Seconds and peak memory in MiB; runs in its own process, so that the memory is the producer's alone."""
    searches = [f"Is there a sign of infection number {number}?" for number in range(queries)]
    served, began = serving(settings), time.monotonic()
    submit(
        example_documents(documents, words), tasks=[], searches=searches, settings=settings, serving=served
    )
    return time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def _workers(settings: Settings, command: list[str], workers: int) -> Iterator[list[int]]:
    environment = as_environment(settings) | {"PYTHONPATH": str(ROOT)}
    with _worker_log(settings).open("ab") as log:
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


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _MAX_WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the workers did not finish within {_MAX_WAIT_SECONDS:.0f} s")
        time.sleep(0.05)


def _peak_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process (fields 14 and 15 of proc(5)'s stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _client(settings: Settings) -> redis.Redis:
    path = settings.redis_url.get_secret_value().removeprefix("redis+socket://")
    return redis.Redis(unix_socket_path=path)


def _worker_log(settings: Settings) -> Path:
    return settings.home_folder / "worker.log"
