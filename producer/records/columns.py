"""Selects the id and the text column: the ones that the operator named, otherwise by usual names.

Names are compared without regard to case, and with spaces and hyphens as underscores.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from models.errors import UsageError
from producer.records.table_presets import Preset

ID_COLUMNS = ("id", "external_id", "document_id", "note_id", "row_id")
"""In order of preference: a table's `id` is its own, its `document_id` may point elsewhere.
MIMIC-IV-Note has `note_id`, MIMIC-III `ROW_ID`."""
TEXT_COLUMNS = (
    "text",
    "note_text",
    "note",
    "body",
    "note_body",
    "content",
    "note_content",
    "report",
    "report_text",
    "document_text",
    "full_text",
    "transcription",
)

_NAME = re.compile(r"[\w .:/#%()-]{1,40}")
_MOST_WORDS = 4


class SourceError(UsageError):
    """A source as a whole cannot be read; `reason` is written to the rejects file."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of one source, in its own spelling."""

    text: str
    id: str | None
    """The id column; None: an id is made of the source's name and the line."""
    must_have_id: bool = False
    """The operator named the id column: an empty id is refused, not replaced."""
    meanings: tuple[tuple[str, str], ...] = ()
    """Pairs of a metadata name shared by all formats and the column that holds it."""


@dataclass(frozen=True, slots=True)
class ColumnChoice:
    """The operator's choice of columns; None: guess."""

    id_column: str | None = None
    text_column: str | None = None
    preset: Preset | None = None
    """The preset whose names apply where the operator did not choose."""

    def among(self, names: Sequence[str], source: str) -> Columns:
        """The columns to use among `names`. Raises SourceError, saying what to type."""
        preset = self.preset
        wanted_text = self.text_column or (preset and preset.text_column)
        wanted_id = self.id_column or (preset and preset.id_column)
        text = _first_present([wanted_text] if wanted_text else TEXT_COLUMNS, names)
        if text is None:
            problem = f"no column {wanted_text!r}" if wanted_text else "no column that looks like the text"
            raise SourceError(_complaint(source, problem, names, "--text-column"), reason="no text column")
        id_column = _first_present([wanted_id] if wanted_id else ID_COLUMNS, names)
        if id_column is None and wanted_id:
            problem = f"no column {wanted_id!r}"
            raise SourceError(_complaint(source, problem, names, "--id-column"), reason="no id column")
        columns = preset.meanings.items() if preset else ()
        present = ((name, _first_present(candidates, names)) for name, candidates in columns)
        meanings = tuple((name, column) for name, column in present if column is not None)
        return Columns(text=text, id=id_column, must_have_id=bool(wanted_id), meanings=meanings)


def _first_present(wanted: Sequence[str], names: Sequence[str]) -> str | None:
    by_plain_name = {_plain(name): name for name in reversed(names)}
    for wanted_name in wanted:
        name = wanted_name if wanted_name in names else by_plain_name.get(_plain(wanted_name))
        if name is not None:
            return name
    return None


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().casefold())


def _complaint(source: str, problem: str, names: Sequence[str], flag: str) -> str:
    named = [name for name in names if _NAME.fullmatch(name) and len(name.split()) <= _MOST_WORDS]
    shown = ", ".join(named[:40]) + (f" and {len(named) - 40} more" if len(named) > 40 else "")
    # A file without a header has a note in its first line: that is nobody's to print.
    others = len(names) - len(named)
    hint = f" ({others} that cannot be names: is there a header?)" if others else ""
    return f"{source} has {problem}. Its columns: {shown or 'none'}{hint}. Say which one: {flag} NAME"
