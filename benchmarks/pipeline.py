"""The machinery without the network's cost: submits and jobs a second, memory, and what Redis holds.

    python -m benchmarks.pipeline
    python -m benchmarks.pipeline --documents 1000,10000,100000 --database postgresql --json

An engine that answers at once takes the network's place; the rest is real: sources, SQL, Redis, Celery worker
processes, sentences and windows, grounding, rows. SQLite and a PostgreSQL of the benchmark's own, both with
commits that reach the disk. A bare Celery task that does nothing runs beside them, for comparison.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from benchmarks.pipeline_run import PipelineFigures, bare_jobs_per_second, measure_pipeline
from console.processes.embedded_redis import start_redis, with_redis
from models.settings import Settings
from tests.support.postgres_server import database_url, execute, postgres_server

DATABASES = ("sqlite", "postgresql")
_numbers = count(1)


def main(arguments: list[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    sizes = [int(size) for size in given.documents.split(",")]
    with tempfile.TemporaryDirectory(prefix="nm-pipeline-") as folder, _queue(Path(folder)) as settings:
        bare = bare_jobs_per_second(settings, messages=given.bare_messages, workers=given.workers)
        found = {name: _of_database(name, settings, sizes, given) for name in given.database.split(",")}
    figures = _figures(found, bare)
    if given.json:
        print(json.dumps({**figures, "words": given.words, "queries": given.queries}))
    else:
        _print(found, bare)
    return 0


def _of_database(
    name: str, settings: Settings, sizes: list[int], given: argparse.Namespace
) -> list[PipelineFigures]:
    with _databases(name, settings.home_folder) as new_url:
        return [
            measure_pipeline(
                settings.model_copy(update={"database_url": SecretStr(new_url())}),
                documents=documents,
                words=given.words,
                queries=given.queries,
                workers=given.workers,
            )
            for documents in sizes
        ]


def _figures(found: dict[str, list[PipelineFigures]], bare: float) -> dict[str, Any]:
    """Paces and bytes are those of the largest number of documents."""
    last = {name: stretches[-1] for name, stretches in found.items()}
    return {
        "submits_per_second": {name: round(one.submits_per_second) for name, one in last.items()},
        "jobs_per_second": {name: round(one.jobs_per_second) for name, one in last.items()},
        "bare_jobs_per_second": round(bare),
        "ratio_to_bare": {name: round(one.jobs_per_second / bare, 3) for name, one in last.items()},
        "redis_bytes_per_job": round(max(one.redis_bytes_per_job for one in last.values())),
        "memory_mib": {
            name: {
                one.documents: {"producer": round(one.producer_mib), "worker": round(one.worker_mib)}
                for one in stretches
            }
            for name, stretches in found.items()
        },
        "stretches": {name: [asdict(one) for one in stretches] for name, stretches in found.items()},
    }


def _print(found: dict[str, list[PipelineFigures]], bare: float) -> None:
    table = Table(title="Documents to rows, with an engine that answers at once")
    names = (
        "database",
        "documents",
        "submits/s",
        "jobs/s",
        "of bare",
        "CPU ms/job",
        "Redis B/job",
        "producer MiB",
        "worker MiB",
    )
    for name in names:
        table.add_column(name, justify="left" if name == "database" else "right")
    for database, stretches in found.items():
        for one in stretches:
            paces = (f"{one.submits_per_second:,.0f}", f"{one.jobs_per_second:,.0f}")
            share = (f"{one.jobs_per_second / bare:.2f}", f"{one.worker_cpu_ms_per_job:.1f}")
            sizes = (f"{one.redis_bytes_per_job:,.0f}", f"{one.producer_mib:.0f}", f"{one.worker_mib:.0f}")
            table.add_row(database, f"{one.documents:,}", *paces, *share, *sizes)
    console = Console()
    console.print(table)
    console.print(f"A bare Celery task that does nothing: {bare:,.0f} a second.")


@contextmanager
def _queue(folder: Path) -> Iterator[Settings]:
    """Settings with a Redis, and with weights that have a fingerprint and nothing else."""
    (folder / "weights").mkdir()
    (folder / "weights" / "config.json").write_text("{}")
    settings = Settings(
        home=folder,
        weights=str(folder / "weights"),
        adapter="none",
        quantization="none",
        database_url=SecretStr(""),
        redis_url=SecretStr(""),
    )
    redis = start_redis(settings)
    try:
        yield with_redis(settings, redis.url)
    finally:
        redis.stop()


@contextmanager
def _databases(kind: str, folder: Path) -> Iterator[Any]:
    """Gives a function that makes an empty database and returns its URL."""
    if kind == "sqlite":
        yield lambda: f"sqlite:///{folder / f'{next(_numbers)}.db'}"
        return
    with postgres_server(is_durable=True) as server:

        def new_url() -> str:
            name = f"stretch_{next(_numbers)}"
            execute(server, f"CREATE DATABASE {name}")
            return database_url(server, name)

        yield new_url


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pipeline",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options = {
        "documents": ("1000,10000", "numbers of documents, each on an empty database"),
        "database": (",".join(DATABASES), "which databases, in this order"),
    }
    for name, (default, words) in options.items():
        parser.add_argument(f"--{name}", default=default, metavar="LIST", help=f"{words} (default {default})")
    numbers = {
        "words": (100, "of each note; reading a long one costs the machinery more"),
        "queries": (3, "searches a document, each a job: as many as a note is usually asked"),
        "workers": (1, "worker processes"),
        "bare-messages": (5_000, "for the bare Celery task"),
    }
    for name, (number, words) in numbers.items():
        parser.add_argument(
            f"--{name}", type=int, default=number, metavar="N", help=f"{words} (default {number})"
        )
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line, no table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
