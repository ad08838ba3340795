"""`notemill find`: stored summaries and passages by their words."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from console.terminal.opened_database import database
from console.terminal.terminal import count_of, shortened, stdout
from models.settings import load_settings

_CHARACTERS = 300


def find(words: str, *, limit: int, as_json: bool) -> int:
    """Prints the matches. Raises UsageError where there is no word to look for."""
    with database(load_settings()) as opened:
        matches = opened.queries.find(words, limit=limit)
    if as_json:
        print(json.dumps([asdict(match) for match in matches], ensure_ascii=False))
        return 0
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("note", "where", "text"):
        table.add_column(title, overflow="fold")
    for match in matches:
        where = match.kind if match.query is None else f"answer to {match.query!r}"
        table.add_row(
            *map(
                Text,
                (shortened(match.external_id, 40), shortened(where, 40), shortened(match.text, _CHARACTERS)),
            )
        )
    console = stdout()
    console.print(table if matches else "Nothing that is stored has these words.")
    console.print(f"({count_of(len(matches), 'place')})", style="dim")
    return 0
