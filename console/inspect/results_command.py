"""`notemill results`: answers as a table, JSON lines, CSV or Parquet; a file is complete or absent."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from console.inspect import result_formats
from console.terminal.opened_database import database
from console.terminal.terminal import count_of, stderr
from exports.atomic_files import whole_file
from models.answers import Task
from models.errors import UsageError
from models.jobs import JobStatus
from models.security.audit_trail import Action
from models.settings import load_settings

_BY_SUFFIX = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet", ".txt": "table"}


def write_results(
    *, run: int | None, task: str | None, status: str | None, form: str | None, output: Path | None
) -> int:
    """Writes results of all runs or one, of all tasks or one. Raises UsageError."""
    form = _form(form, output)
    write = result_formats.WRITERS[form]
    requested_task = None if task is None else _one_of(Task, task, "--task")
    requested_status = None if status is None else _one_of(JobStatus, status, "--status")
    with database(load_settings()) as opened:
        results = opened.queries.results(run_id=run, task=requested_task, status=requested_status)
        is_file = output is not None and str(output) != "-"
        opened.store.note(Action.RESULTS, run=run, task=task, status=status, form=form, is_file=is_file)
        if output is None or str(output) == "-":
            write(results, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return 0
        with whole_file(output) as file:
            count = write(results, file)
    stderr().print(f"{count_of(count, 'answer')} in {output}", soft_wrap=True)
    return 0


def _form(form: str | None, output: Path | None) -> str:
    if form is None:
        form = "table" if output is None else _BY_SUFFIX.get(output.suffix.lower(), "")
        if not form:
            raise UsageError(
                f"cannot tell the form by the name {output}: add --format jsonl, csv or parquet."
            )
    if form not in result_formats.WRITERS:
        raise UsageError(f"there is no form {form!r}. Forms: {', '.join(result_formats.WRITERS)}.")
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise UsageError("Parquet is not for a terminal: add --output FILE.")
    return form


def _one_of(kind: Any, name: str, option: str) -> Any:
    try:
        return kind(name)
    except ValueError:
        raise UsageError(f"{option} {name!r} is not known. Known: {', '.join(kind)}.") from None
