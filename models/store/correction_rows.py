"""Corrections in SQL: written, taken back, read; on transactions that `models.store.store` and `.queries` open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from models.corrections import Correction, Mention
from models.errors import UsageError
from models.schema.correction_tables import CorrectionRow
from models.schema.database_clock import utc_now
from models.schema.tables import TextRow

_KEY = ("text_sha256", "found_start", "found_end", "found_label")


class NotInTextError(UsageError):
    """The text is not there, or has no such characters."""


def correct(connection: Connection, text_sha256: str, corrections: Sequence[Correction]) -> None:
    """See Store.correct."""
    text = connection.scalars(select(TextRow.text).where(TextRow.sha256 == text_sha256)).one_or_none()
    if text is None:
        raise NotInTextError("there is no such text any more")
    for one in corrections:
        if max(one.end, one.found.end) > len(text):
            raise NotInTextError(f"[{one.start}, {one.end}) is not in the text")
        if not text[one.start : one.end].strip():
            raise NotInTextError(f"[{one.start}, {one.end}) is only white space")
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    for one in corrections:
        row = {
            "text_sha256": text_sha256,
            "found_start": one.found.start,
            "found_end": one.found.end,
            "found_label": one.found.label,
            "verdict": one.verdict.value,
            "span_start": one.start,
            "span_end": one.end,
            "label": one.label,
            "assertion": one.assertion.value,
            "corrected_by": one.corrected_by,
            "corrected_at": utc_now(),
        }
        changed = {name: value for name, value in row.items() if name not in _KEY}
        statement = dialect.insert(CorrectionRow).values(**row)
        connection.execute(statement.on_conflict_do_update(index_elements=_KEY, set_=changed))


def withdraw(connection: Connection, text_sha256: str, found: Mention) -> bool:
    """See Store.withdraw_correction."""
    chosen = delete(CorrectionRow).where(
        CorrectionRow.text_sha256 == text_sha256,
        CorrectionRow.found_start == found.start,
        CorrectionRow.found_end == found.end,
        CorrectionRow.found_label == found.label,
    )
    return bool(connection.execute(chosen).rowcount)


def of_text(connection: Connection, text_sha256: str) -> list[Correction]:
    """All corrections of one text, in the order of the note."""
    of_one = CorrectionRow.text_sha256 == text_sha256
    chosen = select(CorrectionRow.__table__).where(of_one).order_by(CorrectionRow.span_start)
    return [_correction(row) for row in connection.execute(chosen)]


def _correction(row: Row[Any]) -> Correction:
    return Correction(
        verdict=row.verdict,
        found=Mention(row.found_start, row.found_end, row.found_label),
        start=row.span_start,
        end=row.span_end,
        label=row.label,
        assertion=row.assertion,
        corrected_by=row.corrected_by,
        corrected_at=row.corrected_at,
    )
