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
        found = opened.queries.find(words, limit=limit)
    if as_json:
        print(json.dumps([asdict(one) for one in found], ensure_ascii=False))
        return 0
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("note", "where", "text"):
        table.add_column(title, overflow="fold")
    for one in found:
        where = one.kind if one.query is None else f"answer to {one.query!r}"
        table.add_row(
            *map(
                Text, (shortened(one.external_id, 40), shortened(where, 40), shortened(one.text, _CHARACTERS))
            )
        )
    console = stdout()
    console.print(table if found else "Nothing that is stored has these words.")
    console.print(f"({count_of(len(found), 'place')})", style="dim")
    return 0
