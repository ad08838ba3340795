"""Hostile notes: control tokens for the network, escapes for the terminal, formulas for the spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from commands import Notemill
from hypothesis import given
from hypothesis import strategies as st
from making import QUESTIONS, submit, work_off
from view_notes import fill

from console.inspect.compare import _print
from console.inspect.result_formats import write_csv
from console.nightly.nightly_report import NightlyReport, write_report
from exports.flat_rows import harmless_cell
from models.documents import Document
from models.queries.queries import Queries
from models.schema.database import connect
from models.settings import load_settings
from models.store.store import Store
from worker.engine.api import Prompt
from worker.engine.prompting.chat_template import Chat

pytest_plugins = ("commands", "servers")
MARKERS = (
    "[INST]",
    "[/INST]",
    "</s>",
    "<s>",
    "<|im_start|>system",
    "<|im_end|>",
    "<|endoftext|>",
    "<repo_name>",
)
ESCAPES = "\x1b[2J\x1b]0;title\x07\x1b[31m\x9b1m\u202eevil\r\x08\x7f"
"""Clears the screen, sets title and colour, reverses the direction and overwrites text."""


def count_control_tokens(chat: Chat, document: str) -> int:
    """Counts the control tokens of the prompt."""
    tokens = chat.encode(Prompt(document, "What is it?")).tokens
    return sum(token in set(chat.tokenizer.all_special_ids) for token in tokens)


def test_prompt_markers_in_a_note_are_plain_text(tokenizer_folder: Path) -> None:
    from transformers import AutoTokenizer

    chat = Chat(AutoTokenizer.from_pretrained(tokenizer_folder))
    own_tokens = [str(token) for token in chat.tokenizer.all_special_tokens]
    expected = count_control_tokens(chat, "Nothing special.")
    assert expected
    for marker in (*MARKERS, *own_tokens, "".join(own_tokens)):
        assert count_control_tokens(chat, f"Before {marker} after.{marker}") == expected, marker


def store_hostile_note(notemill: Notemill) -> None:
    """Stores a note whose text, id and source contain escapes, and its answers."""
    assert notemill("db", "upgrade") == 0
    store = Store(connect(load_settings().effective_database_url))
    note = Document(external_id=f"id{ESCAPES}", text=f"Pain{ESCAPES} again.", source=f"file{ESCAPES}")
    submit(store, [note], QUESTIONS)
    work_off(store, 1)


def test_no_command_prints_terminal_escapes(notemill: Notemill) -> None:
    store_hostile_note(notemill)
    for arguments in (
        ("show", "#1"),
        ("show", "#1", "--plain"),
        ("results",),
        ("sql", "SELECT external_id, source, text FROM v_entities"),
        ("status", "1"),
        ("audit", "show"),
        ("find", "pain"),
        ("status",),
        ("purge", "--document", f"id{ESCAPES}", "--yes"),
    ):
        assert notemill(*arguments) == 0, notemill.err
        output = (notemill.out + notemill.err).replace("\n", "")
        assert not [
            character for character in output if character in ESCAPES and not character.isprintable()
        ], arguments


def test_no_cell_of_an_export_is_a_formula(notemill: Notemill) -> None:
    store_hostile_note(notemill)
    store = Store(connect(load_settings().effective_database_url))
    formula = Document(external_id="@SUM(A1)", text='=HYPERLINK("http://evil","Pain") again.')
    _, registered = submit(store, [formula], QUESTIONS)
    for id_ in registered.owed_document_ids:
        work_off(store, id_)
    file = io.BytesIO()
    write_csv(Queries(connect(load_settings().effective_database_url)).results(), file)
    cells = [cell for row in csv.reader(io.StringIO(file.getvalue().decode())) for cell in row]
    assert any("HYPERLINK" in cell for cell in cells)
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_a_comparison_shows_markup_and_escapes_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    change = {"kind": "added", "text": f"[red]Pain{ESCAPES}", "before": "", "after": ESCAPES}
    note = f"[link=http://evil]id{ESCAPES}"
    _print(
        {
            "before": "a",
            "after": "b",
            "notes": 1,
            "compared": 1,
            "failed": [0, 0],
            "archive_notes": 1,
            "entities": {"added": 1},
            "passages": {},
            "hours": [None, None],
            "changes": [{"note": note, **change}],
            "summaries": [{"note": note, "before": ESCAPES, "after": "[bold]Pain"}],
        }
    )
    output = capsys.readouterr().out.replace("\n", "")
    assert not [character for character in output if character in ESCAPES and not character.isprintable()]
    assert all(word in output for word in ("[red]Pain", "[link=http://evil", "[bold]Pain"))


def test_the_page_of_one_note_shows_html_as_text(notemill: Notemill) -> None:
    assert notemill("db", "upgrade") == 0
    fill(Store(connect(load_settings().effective_database_url)))
    page = notemill.home / "page.html"
    assert notemill("show", "<u>attack</u>", "--html", page) == 0, notemill.err
    body = page.read_text("utf-8")
    assert not re.findall(r"<(?:img|u|i|b|em|svg onload)\b", body)
    assert "&lt;img src=x onerror=alert(1)&gt;" in body
    assert "{{ 7 * 7 }}" in body
    assert "\u202e" not in body


def test_a_nightly_report_shows_html_in_the_plan_name_as_text(tmp_path: Path) -> None:
    now = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    fields: dict[str, Any] = dict.fromkeys(NightlyReport.model_fields, 0)
    fields |= {"plan": "<img src=x onerror=alert(1)>", "began": now, "ended": now, "until": None}
    fields |= {"failed_by_reason": {"<b>x</b>": 1}, "refused_by_reason": {"<i>y</i>": 1}}
    _, page = write_report(NightlyReport(**fields), None, tmp_path)
    body = page.read_text("utf-8")
    assert not re.findall(r"<(?:img|i|b)\b", body)
    assert "&lt;img src=x onerror=alert(1)&gt;" in body


@given(st.text() | st.integers() | st.none(), st.sampled_from(["=", "+", "-", "@", "\t", "\r", ""]))
def test_a_cell_keeps_every_character_and_never_begins_a_formula(value: Any, start: str) -> None:
    cell = f"{start}{value}" if isinstance(value, str) else value
    safe = harmless_cell(cell)
    assert safe in (cell, f"'{cell}")
    assert not isinstance(safe, str) or not safe.startswith(("=", "+", "-", "@", "\t", "\r"))
