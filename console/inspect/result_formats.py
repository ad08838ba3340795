"""Output formats of `notemill results`, each a function from a stream of jobs to bytes.

A table for people, and the formats of `exports.result_files`. Each returns the number of jobs. A job is the
JSON object that `models.queries.results` describes.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from itertools import islice
from typing import Any, BinaryIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from console.terminal.terminal import count_of, human_duration, shortened, stdout
from exports.result_files import Results, write_csv, write_jsonl, write_parquet

Writer = Callable[[Results, BinaryIO], int]
_TABLE_ROWS = 200


def write_table(results: Results, file: BinaryIO) -> int:
    """Writes a table for people: a line a job, at most two hundred."""
    rest = iter(results)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("note", "run", "task", "status", "seconds", "answer"):
        table.add_column(title, justify="right" if title in ("run", "seconds") else "left")
    count = 0
    for result in islice(rest, _TABLE_ROWS):
        table.add_row(*_cells(result))
        count += 1
    more = sum(1 for _ in rest)
    console = _console_for(file)
    with console.capture() as printed:
        console.print(table if count else "Nothing is stored for that.")
        if more:
            console.print(f"… and {count_of(more, 'job')} more; --format jsonl or csv writes them all.")
    file.write(printed.get().encode("utf-8"))
    return count + more


WRITERS: dict[str, Writer] = {
    "table": write_table,
    "jsonl": write_jsonl,
    "csv": write_csv,
    "parquet": write_parquet,
}


def _cells(result: dict[str, Any]) -> list[Text]:
    seconds = result["duration_seconds"]
    is_failed = result["status"] == "failed"
    return [
        Text(shortened(result["external_id"], 40)),
        Text(str(result["run"])),
        Text(result["task"]),
        Text(result["status"], "red" if is_failed else ""),
        Text("" if seconds is None else human_duration(seconds)),
        Text(shortened(brief(result), 70)),
    ]


def brief(result: dict[str, Any]) -> str:
    """An answer in a few words; for a failed job the reason."""
    if result["status"] == "failed":
        return f"{result['reason']} {result.get('detail') or ''}".strip()
    if "entities" in result:
        return count_of(len(result["entities"]), "entity", "entities")
    if "passages" in result:
        return f"{count_of(len(result['passages']), 'passage')} for {result['parameters']['query']!r}"
    if "summary" in result:
        return str(result["summary"]["title"])
    return ""


def _console_for(file: BinaryIO) -> Console:
    """A console with colours for a terminal, plain for a file."""
    console = stdout()
    return console if file is sys.stdout.buffer else Console(file=io.StringIO(), width=console.width)
