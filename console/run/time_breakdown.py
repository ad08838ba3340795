"""Time breakdown of a run, as a table and as JSON. Does not import the database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from models.usage import RunUsage, Usage

IDLE_TARGET = 0.05
CONSTRAIN_TARGET = 0.05
"""Largest acceptable shares: of the time with work in progress, of the seconds of decoding."""
_FEW_ROWS = 4.0
_NOTHING_OWED = "No time was spent: every answer was there already, nothing was owed."
_NOTHING_YET = "No worker has said yet what it spent on this run; it does a few seconds after its first note."


def time_breakdown(charged: RunUsage, *, is_done: bool, notes_an_hour: float | None) -> RenderableType:
    """The breakdown as tables and words, within 80 columns. `is_done`: no job of the run is owed any more."""
    spent = charged.usage
    if charged.updated_at is None:
        return Text(_NOTHING_OWED if is_done else _NOTHING_YET)
    pace = [Text(f"{notes_an_hour:,.0f} notes an hour")] if notes_an_hour else []
    advices = [Text(words, style="yellow") for words in advice(spent)]
    return Group(
        _engine_table(spent), Text(), _notes_table(spent), Text(), _tokens_table(spent), *pace, *advices
    )


def time_breakdown_json(charged: RunUsage) -> dict[str, object]:
    """The numbers of the table by name, seconds to the millisecond."""
    spent = charged.usage
    derived = {
        "engine_seconds": spent.engine_seconds,
        "idle_share": spent.idle_share,
        "constrain_share": spent.constrain_share,
        "shared_share": spent.shared_share,
        "rows_a_step": spent.rows_a_step,
    }
    figures = {name: round(number, 4) for name, number in {**asdict(spent), **derived}.items()}
    until: datetime | None = charged.updated_at
    return {**figures, "spent_at": None if until is None else until.isoformat()}


def advice(spent: Usage) -> Iterator[str]:
    """Sentences that explain the figures and name the settings that may help."""
    idle, constrain = spent.idle_share, spent.constrain_share
    if not spent.engine_owed_seconds:
        yield "This engine tells no times of its own."
        return
    if idle > IDLE_TARGET:
        yield (
            f"The engine was idle {idle:.0%} of the time while notes were in hand (target {IDLE_TARGET:.0%}):"
            " more NOTEMILL_WORKER_THREADS, or more notes a run, keep it full."
        )
    else:
        yield f"The engine was idle {idle:.1%} of the time while notes were in hand: work came fast enough."
    if constrain > CONSTRAIN_TARGET:
        yield f"Grammars took {constrain:.0%} of the time of decoding (target: {CONSTRAIN_TARGET:.0%})."
    if spent.decode_seconds > spent.prefill_seconds and spent.rows_a_step < _FEW_ROWS:
        yield (
            f"It mostly wrote, {spent.rows_a_step:.1f} rows at a time: more notes at once make each cheaper"
            " (NOTEMILL_WORKER_THREADS, NOTEMILL_MAX_BATCH_ROWS)."
        )


def _engine_table(spent: Usage) -> Table:
    table, whole = _table("engine", "seconds", "share"), spent.engine_seconds
    table.add_column()
    rows = (
        ("prefill", spent.prefill_seconds, _rate(spent.prefill_tokens, spent.prefill_seconds)),
        ("decode", spent.decode_seconds, _rate(_generated_tokens(spent), spent.decode_seconds)),
        ("constrain", spent.constrain_seconds, f"{spent.constrain_share:.1%} of decode"),
        ("schedule", spent.schedule_seconds, ""),
        ("idle, notes in hand", spent.idle_queued_seconds, f"{spent.idle_share:.1%} of the time with notes"),
        ("idle, no notes", spent.idle_empty_seconds, ""),
    )
    for name, seconds, words in rows:
        table.add_row(name, _seconds(seconds), f"{seconds / whole:.1%}" if whole else "–", Text(words, "dim"))
    table.add_row("together", _seconds(whole), "", Text(f"after {spent.load_seconds:.1f} s to load", "dim"))
    return table


def _notes_table(spent: Usage) -> Table:
    table = _table("notes' threads", "seconds")
    table.add_column()
    rows = (
        ("read", spent.read_seconds, "sentences, windows, prompts, tokens"),
        ("compile", spent.compile_seconds, "grammars"),
        ("wait", spent.wait_seconds, "for the engine, side by side"),
        ("ground", spent.ground_seconds, "from replies to answers"),
        ("store", spent.store_seconds, "SQL"),
    )
    for name, seconds, words in rows:
        table.add_row(name, _seconds(seconds), Text(words, "dim"))
    return table


def _tokens_table(spent: Usage) -> Table:
    table = _table("tokens", "count")
    table.add_column()
    accepted = f"{spent.accepted_tokens:,} of them right" if spent.proposed_tokens else ""
    rows = (
        ("read", spent.prefill_tokens, ""),
        ("shared", spent.shared_tokens, f"{spent.shared_share:.1%} of all prompt tokens (prefix hits)"),
        ("written, chosen", spent.decoded_tokens, ""),
        ("written, forced", spent.forced_tokens, "by a grammar"),
        ("looked up", spent.proposed_tokens, accepted),
        ("places decided", spent.decided_places, ""),
        ("prompts", spent.requests, ""),
        ("steps", spent.steps, f"{spent.rows_a_step:.1f} rows a step (batch fill)"),
    )
    for name, count, words in rows:
        table.add_row(name, f"{count:,}", Text(words, "dim"))
    return table


def _table(first: str, *numbers: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first, min_width=19)
    for title in numbers:
        table.add_column(title, justify="right", min_width=9)
    return table


def _generated_tokens(spent: Usage) -> int:
    return spent.decoded_tokens + spent.forced_tokens


def _rate(tokens: int, seconds: float) -> str:
    return f"{tokens / seconds:,.0f} tokens a second" if seconds else ""


def _seconds(seconds: float) -> str:
    return f"{seconds:,.2f}" if seconds < 100 else f"{seconds:,.0f}"
