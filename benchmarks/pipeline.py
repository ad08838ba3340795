"""Throughput of the pipeline without the network: submits and jobs a second, memory, bytes in Redis.

    python -m benchmarks.pipeline
    python -m benchmarks.pipeline --documents 1000,10000,100000 --database postgresql --json

An engine that answers at once replaces the network. The rest is real: sources, SQL, Redis, Celery worker
processes, sentences and windows, grounding, rows. Runs on SQLite and on its own PostgreSQL server; both
commit to disk. A bare Celery task that does nothing is measured for comparison.
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
    with (
        tempfile.TemporaryDirectory(prefix="nm-pipeline-") as folder,
        _running_redis(Path(folder)) as settings,
    ):
        bare = bare_jobs_per_second(settings, messages=given.bare_messages, workers=given.workers)
        runs = {name: _measure_database(name, settings, sizes, given) for name in given.database.split(",")}
    figures = _figures(runs, bare)
    if given.json:
        print(json.dumps({**figures, "words": given.words, "queries": given.queries}))
    else:
        _print_table(runs, bare)
    return 0


def _measure_database(
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


def _figures(runs: dict[str, list[PipelineFigures]], bare: float) -> dict[str, Any]:
    """The JSON object. Rates and bytes are those of the largest number of documents."""
    largest = {name: of_database[-1] for name, of_database in runs.items()}
    return {
        "submits_per_second": {name: round(run.submits_per_second) for name, run in largest.items()},
        "jobs_per_second": {name: round(run.jobs_per_second) for name, run in largest.items()},
        "bare_jobs_per_second": round(bare),
        "ratio_to_bare": {name: round(run.jobs_per_second / bare, 3) for name, run in largest.items()},
        "redis_bytes_per_job": round(max(run.redis_bytes_per_job for run in largest.values())),
        "memory_mib": {
            name: {
                run.documents: {"producer": round(run.producer_mib), "worker": round(run.worker_mib)}
                for run in of_database
            }
            for name, of_database in runs.items()
        },
        "stretches": {name: [asdict(run) for run in of_database] for name, of_database in runs.items()},
    }


def _print_table(runs: dict[str, list[PipelineFigures]], bare: float) -> None:
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
    for database, of_database in runs.items():
        for run in of_database:
            rates = (f"{run.submits_per_second:,.0f}", f"{run.jobs_per_second:,.0f}")
            shares = (f"{run.jobs_per_second / bare:.2f}", f"{run.worker_cpu_ms_per_job:.1f}")
            sizes = (f"{run.redis_bytes_per_job:,.0f}", f"{run.producer_mib:.0f}", f"{run.worker_mib:.0f}")
            table.add_row(database, f"{run.documents:,}", *rates, *shares, *sizes)
    console = Console()
    console.print(table)
    console.print(f"A bare Celery task that does nothing: {bare:,.0f} a second.")


@contextmanager
def _running_redis(folder: Path) -> Iterator[Settings]:
    """Starts Redis; yields settings whose weights are a folder with a configuration and no tensors."""
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
    """Yields a function that makes an empty database and returns its URL."""
    if kind == "sqlite":
        yield lambda: f"sqlite:///{folder / f'{next(_numbers)}.db'}"
        return
    with postgres_server(is_durable=True) as server:

        def new_url() -> str:
            name = f"run_{next(_numbers)}"
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
        "documents": ("1000,10000", "numbers of documents, each submitted to an empty database"),
        "database": (",".join(DATABASES), "databases, in this order"),
    }
    for name, (default, text) in options.items():
        parser.add_argument(f"--{name}", default=default, metavar="LIST", help=f"{text} (default {default})")
    numbers = {
        "words": (100, "words of each note; a long note costs the pipeline more"),
        "queries": (3, "searches of each document; each is a job"),
        "workers": (1, "worker processes"),
        "bare-messages": (5_000, "messages for the bare Celery task"),
    }
    for name, (number, text) in numbers.items():
        parser.add_argument(
            f"--{name}", type=int, default=number, metavar="N", help=f"{text} (default {number})"
        )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
