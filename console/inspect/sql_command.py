"""`notemill sql`: a SELECT on the views, as a table or as JSON lines."""

from __future__ import annotations

import json
from typing import Any

from rich.table import Table
from rich.text import Text

from console.terminal.opened_database import database
from console.terminal.terminal import count_of, printable, stdout
from models.documents import text_sha256
from models.queries.readonly_sql import run_select
from models.security.audit_trail import Action
from models.settings import load_settings


def show_rows(statement: str, *, limit: int, as_json: bool) -> int:
    """Prints the rows. Raises StatementError with the message of the database."""
    with database(load_settings()) as opened:
        names, rows, is_cut = run_select(opened.engine, statement, limit)
        opened.store.note(Action.SQL, rows=len(rows), statement_sha256=text_sha256(statement))
    if as_json:
        for row in rows:
            print(json.dumps(dict(zip(names, row, strict=True)), default=str, ensure_ascii=False))
        return 0
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, name in enumerate(names):
        is_numeric = bool(rows) and all(isinstance(row[number], int | float) for row in rows)
        table.add_column(Text(printable(name)), justify="right" if is_numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row))
    console = stdout()
    console.print(table)
    more = "; there are more, see --limit" if is_cut else ""
    console.print(f"({count_of(len(rows), 'row')}{more})", style="dim")
    return 0


def _cell(value: Any) -> Text:
    if isinstance(value, float):
        return Text(f"{value:.6g}")
    return Text("–" if value is None else printable(str(value)))
