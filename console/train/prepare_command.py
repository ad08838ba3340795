"""`notemill train prepare`: converts data sets to a prepared folder; --inspect only shows their content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from console.terminal.terminal import command_to_type, count_of, human_duration, printable, stdout
from models.errors import UsageError
from models.security.training_provenance import record_trained_folder
from models.settings import load_settings
from training.data.inspect_dataset import Inspection, inspect
from training.data.prepare import PrepareRequest, prepare, training_files

_SHOWN = 700
"""Characters of a sample that are shown."""


def prepare_data(request: PrepareRequest, output: Path | None, *, is_inspecting: bool, as_json: bool) -> int:
    """Writes the folder and prints its counts. Raises UsageError."""
    if is_inspecting:
        _print_inspection(inspect(training_files(request), request.columns, request.limit))
        return 0
    if output is None:
        raise UsageError("say where the prepared folder goes: --output FOLDER (or look first: --inspect)")
    record_trained_folder(load_settings(), output)
    facts = prepare(request, output)
    if as_json:
        print(json.dumps({"output": str(output), **facts}))
    else:
        _print_result(facts, output)
    return 0


def _print_result(facts: Mapping[str, Any], output: Path) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("rows", justify="right")
    table.add_column("")
    for name, counts in (("kept", facts["kept"]), ("dropped", facts["dropped"]), ("broken", facts["broken"])):
        for reason, count in counts.items():
            table.add_row(f"{count:,}", f"{name}: {reason}")
    console = stdout()
    console.print(table)
    held = facts["held_out"]
    console.print(
        f"Held out: {count_of(held['texts'], 'text')} of {count_of(len(held['files']), 'file')}; nothing kept"
        " is one of them, quotes one or is a good part of one."
        if held["files"]
        else "Held out: nothing was given (--held-out), so nothing was checked.",
        soft_wrap=True,
    )
    console.print(
        f"{count_of(facts['train'], 'record')} to train on, {facts['validation']:,} to validate with, in"
        f" {human_duration(facts['seconds'])}; report: {output / 'report.md'}",
        soft_wrap=True,
    )
    console.print(
        f"Next: {command_to_type('train', 'finetune', '--data', str(output), '--output', 'adapter')}",
        soft_wrap=True,
    )


def _print_inspection(inspection: Inspection) -> None:
    console = stdout()
    for name, count in inspection.rows.items():
        console.print(
            f"{name}: {count_of(count, 'row')}, columns {', '.join(inspection.columns.get(name, []))}",
            soft_wrap=True,
        )
    console.print(_counted("kind", inspection.kinds))
    if inspection.broken:
        console.print(_counted("broken", inspection.broken))
    if inspection.origins:
        table = Table(
            box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", title_justify="left"
        )
        for title in ("origin", "conversations", "medical by words"):
            table.add_column(title, justify="left" if title == "origin" else "right")
        for origin, count in inspection.origins.most_common():
            table.add_row(Text(printable(origin)), f"{count:,}", f"{inspection.medical[origin] / count:.0%}")
        console.print(table)
        turns = ", ".join(f"{number} ({inspection.turns[number]:,})" for number in sorted(inspection.turns))
        console.print(f"turns: {turns}; with the preamble: {inspection.with_preamble:,}", soft_wrap=True)
    for group, texts in inspection.samples.items():
        for text in texts:
            console.print(f"\n── {printable(group)}", style="dim")
            console.print(
                Text(printable(text[:_SHOWN]) + (" …" if len(text) > _SHOWN else "")), soft_wrap=True
            )


def _counted(title: str, counts: Mapping[str, int]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(title)
    table.add_column("rows", justify="right")
    for name, count in counts.items():
        table.add_row(Text(printable(str(name))), f"{count:,}")
    return table
