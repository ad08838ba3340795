"""CPU seconds of the example queries in docs/reference/sql.md on a large archive, on SQLite and PostgreSQL.

    python -m benchmarks.questions
    python -m benchmarks.questions --notes 25000 --database postgresql --json

25,000 notes have a million entities. Counts the CPU seconds of the process that answers: this one for SQLite,
PostgreSQL's backend without parallel workers. The best of --rounds counts, so pages are in memory.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import Engine, text

from benchmarks.archive.synthetic_archive import ENTITIES_A_NOTE, fill
from benchmarks.pipeline_run import cpu_seconds
from models.migrations import schema_version
from models.schema.database import connect, read_transaction
from tests.support.postgres_server import database_url, execute, postgres_server

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "sql.md"


def main(arguments: list[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    by_database = {name: _measure(name, given.notes, given.rounds) for name in given.database.split(",")}
    if given.json:
        print(json.dumps({"entities": given.notes * ENTITIES_A_NOTE, "seconds": by_database}))
        return 0
    for number, (question, _) in enumerate(questions(), start=1):
        columns = "  ".join(f"{name} {times[number - 1]:6.3f} s" for name, times in by_database.items())
        print(f"{number:>2}  {columns}  {question}")
    return 0


def questions() -> list[tuple[str, str]]:
    """The question before each example query of the page, and the SQL statement."""
    matches = re.findall(r"([^\n]+):\n\n```sql\n(.*?);\n```", PAGE.read_text("utf-8"), re.DOTALL)
    return [(question, statement) for question, statement in matches]


def _measure(database: str, notes: int, rounds: int) -> list[float]:
    with _filled_database(database, notes) as engine:
        return [min(_seconds(engine, statement) for _ in range(rounds)) for _, statement in questions()]


def _seconds(engine: Engine, statement: str) -> float:
    with read_transaction(engine) as connection:
        used_seconds = time.process_time
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET max_parallel_workers_per_gather = 0"))
            backend = connection.scalars(text("SELECT pg_backend_pid()")).one()
            used_seconds = partial(cpu_seconds, backend)
        began = used_seconds()
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True}).fetchall()
        return used_seconds() - began


@contextmanager
def _filled_database(database: str, notes: int) -> Iterator[Engine]:
    with (
        tempfile.TemporaryDirectory(prefix="nm-questions-") as folder,
        _database_url(database, folder) as url,
    ):
        engine = connect(url)
        schema_version.upgrade(engine)
        fill(engine, notes)
        yield engine
        engine.dispose()


@contextmanager
def _database_url(database: str, folder: str) -> Iterator[str]:
    if database == "sqlite":
        yield f"sqlite:///{folder}/notemill.db"
        return
    with postgres_server() as server:
        execute(server, "CREATE DATABASE questions")
        yield database_url(server, "questions")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.questions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--notes", type=int, default=25_000, metavar="N", help="notes of 40 entities each (default 25000)"
    )
    parser.add_argument(
        "--database", default="sqlite,postgresql", metavar="LIST", help="databases, in this order"
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs of each query (default 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
