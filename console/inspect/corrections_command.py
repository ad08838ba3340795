"""`notemill corrections`: corrected notes as JSON lines to train on."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from console.terminal.opened_database import database
from console.terminal.terminal import command_to_type, count_of, stderr
from exports.atomic_files import whole_file
from models.settings import load_settings


def write_corrections(output: Path | None) -> int:
    """Writes a line for each note; models.queries.corrections describes it."""
    with database(load_settings()) as opened:
        notes = opened.queries.annotated_notes()
        if output is None or str(output) == "-":
            count = _write(notes, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            with whole_file(output) as file:
                count = _write(notes, file)
    if not count:
        stderr().print(
            f"Nothing was corrected yet. To correct, type: {command_to_type('view')}", soft_wrap=True
        )
    elif output is not None and str(output) != "-":
        stderr().print(f"{count_of(count, 'corrected note')} in {output}", soft_wrap=True)
    return 0


def _write(notes: Iterable[dict[str, Any]], file: BinaryIO) -> int:
    count = 0
    for count, note in enumerate(notes, 1):  # noqa: B007
        file.write(json.dumps(note, ensure_ascii=False).encode() + b"\n")
    return count
