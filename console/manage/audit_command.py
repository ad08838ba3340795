"""`notemill audit show` and `audit verify`: prints the audit trail and checks its hash chain."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from console.terminal.exit_status import PROBLEM
from console.terminal.opened_database import database
from console.terminal.terminal import count_of, printable, stdout
from models.errors import UsageError
from models.security import audit_trail
from models.settings import load_settings


def show_entries(*, last: int, action: str | None, as_json: bool) -> int:
    """Prints the newest rows, oldest first. Raises UsageError for an unknown action."""
    requested_action = None if action is None else _action(action)
    with database(load_settings()) as opened:
        entries = list(audit_trail.entries(opened.engine, last=last, action=requested_action))
    if as_json:
        print(json.dumps([asdict(entry) | {"subject": json.loads(entry.subject)} for entry in entries]))
        return 0
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("number", "at", "who", "what", "ids and counts"):
        table.add_column(title, justify="right" if title == "number" else "left", overflow="fold")
    for entry in entries:
        who = f"{entry.actor} ({entry.database_user})" if entry.database_user else entry.actor
        cells = (str(entry.number), entry.at, who, entry.action, entry.subject)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    stdout().print(table if entries else "Nothing is written down yet.")
    return 0


def verify(head: str | None) -> int:
    """Exit status 1, with the first wrong row, where the chain is broken, or where `head` is missing."""
    with database(load_settings()) as opened:
        verdict = audit_trail.verify(opened.engine, head or audit_trail.FIRST_HASH)
    console = stdout()
    if verdict.broken_at is not None:
        console.print(f"Broken at row {verdict.broken_at}: it was changed, removed or put in.")
        return PROBLEM
    if not verdict.has_seen:
        console.print(f"{count_of(verdict.rows, 'row')}, but not the hash that you noted: rows were cut off.")
        return PROBLEM
    words = "each follows from the one before. Note the last hash elsewhere, for --head"
    console.print(f"{count_of(verdict.rows, 'row')}, {words}:", soft_wrap=True)
    console.print(verdict.head, soft_wrap=True)
    return 0


def _action(name: str) -> audit_trail.Action:
    try:
        return audit_trail.Action(name)
    except ValueError:
        raise UsageError(f"there is no action {name!r}. Actions: {', '.join(audit_trail.Action)}.") from None
