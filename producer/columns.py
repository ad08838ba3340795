"""Which column is the id and which the text: what the operator said, else a sensible guess.

Names are compared without regard to case, and with spaces and hyphens as underscores.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from models.errors import UsageError

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


class SourceError(UsageError):
    """A source as a whole cannot be read; `reason` is what a rejects file says of it."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of one source, as they are spelled there."""

    text: str
    id: str | None
    """None: an id is made from the source's name and the line."""
    must_have_id: bool = False
    """The operator named the id column: an empty one is refused, not replaced."""


@dataclass(frozen=True, slots=True)
class ColumnChoice:
    """What the operator said of the columns; none: guess."""

    id_column: str | None = None
    text_column: str | None = None

    def among(self, names: Sequence[str], source: str) -> Columns:
        """The columns to use out of `names`. Raises SourceError that says what to type."""
        text = _first_present([self.text_column] if self.text_column else TEXT_COLUMNS, names)
        if text is None:
            said = (
                f"no column {self.text_column!r}"
                if self.text_column
                else "no column that looks like the text"
            )
            raise SourceError(_complaint(source, said, names, "--text-column"), reason="no text column")
        id_column = _first_present([self.id_column] if self.id_column else ID_COLUMNS, names)
        if id_column is None and self.id_column:
            said = f"no column {self.id_column!r}"
            raise SourceError(_complaint(source, said, names, "--id-column"), reason="no id column")
        return Columns(text=text, id=id_column, must_have_id=self.id_column is not None)


def _first_present(wanted: Sequence[str], names: Sequence[str]) -> str | None:
    by_plain_name = {_plain(name): name for name in reversed(names)}
    for want in wanted:
        found = want if want in names else by_plain_name.get(_plain(want))
        if found is not None:
            return found
    return None


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().casefold())


def _complaint(source: str, said: str, names: Sequence[str], flag: str) -> str:
    shown = ", ".join(names[:40]) + (f" and {len(names) - 40} more" if len(names) > 40 else "")
    return f"{source} has {said}. Its columns: {shown or 'none'}. Say which one: {flag} NAME"
