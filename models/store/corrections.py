"""Corrections: a person's verdicts on the mentions of a text, stored and withdrawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from models.corrections import Correction, MentionKey
from models.errors import UsageError
from models.schema.correction_tables import CorrectionRow
from models.schema.database import write_transaction
from models.schema.database_clock import utc_now
from models.schema.tables import TextRow
from models.security import audit_trail
from models.security.audit_trail import Action

_KEY = ("text_sha256", "found_start", "found_end", "found_label")


class NotInTextError(UsageError):
    """The text does not exist, or does not have these characters."""


class CorrectionWrites:
    """Stores and withdraws corrections; part of `Store`."""

    _engine: Engine
    _actor: str

    def correct(self, text_sha256: str, corrections: Sequence[Correction]) -> None:
        """Stores a person's verdicts on mentions of a text; each replaces an earlier one on the same mention.
        Raises NotInTextError, and stores none, where a correction's characters are not in the text."""
        with write_transaction(self._engine) as connection:
            text = connection.scalars(select(TextRow.text).where(TextRow.sha256 == text_sha256)).one_or_none()
            _check_spans(text, corrections)
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            for correction in corrections:
                row = _row(text_sha256, correction)
                changed = {name: value for name, value in row.items() if name not in _KEY}
                statement = dialect.insert(CorrectionRow).values(**row)
                connection.execute(statement.on_conflict_do_update(index_elements=_KEY, set_=changed))
            subject = {"text": text_sha256, "corrections": len(corrections)}
            audit_trail.append(connection, Action.CORRECT, subject, actor=self._actor)

    def withdraw_correction(self, text_sha256: str, mention: MentionKey) -> bool:
        """Withdraws the verdict on this mention; returns whether there was one."""
        withdrawn = delete(CorrectionRow).where(
            CorrectionRow.text_sha256 == text_sha256,
            CorrectionRow.found_start == mention.start,
            CorrectionRow.found_end == mention.end,
            CorrectionRow.found_label == mention.label,
        )
        with write_transaction(self._engine) as connection:
            return bool(connection.execute(withdrawn).rowcount)


def _check_spans(text: str | None, corrections: Sequence[Correction]) -> None:
    if text is None:
        raise NotInTextError("there is no such text any more")
    for correction in corrections:
        if max(correction.end, correction.found.end) > len(text):
            raise NotInTextError(f"[{correction.start}, {correction.end}) is not in the text")
        if not text[correction.start : correction.end].strip():
            raise NotInTextError(f"[{correction.start}, {correction.end}) is only white space")


def _row(text_sha256: str, correction: Correction) -> dict[str, Any]:
    return {
        "text_sha256": text_sha256,
        "found_start": correction.found.start,
        "found_end": correction.found.end,
        "found_label": correction.found.label,
        "verdict": correction.verdict.value,
        "span_start": correction.start,
        "span_end": correction.end,
        "label": correction.label,
        "assertion": correction.assertion.value,
        "corrected_by": correction.corrected_by,
        "corrected_at": utc_now(),
    }
