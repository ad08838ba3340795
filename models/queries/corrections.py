"""Corrections of a text, and corrected notes as training records (`notemill corrections`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, select

from models.answers import Task
from models.corrections import Correction, MentionKey, Verdict, with_verdicts
from models.jobs import JobStatus
from models.queries import results
from models.schema.correction_tables import CorrectionRow
from models.schema.database import read_transaction
from models.schema.tables import DocumentRow, TextRow


class CorrectionQueries:
    """Reads corrections and corrected notes; part of `Queries`."""

    _engine: Engine

    def corrections_of(self, text_sha256: str) -> list[Correction]:
        """The corrections of one text, in the order of its characters."""
        with read_transaction(self._engine) as connection:
            return _corrections(connection, text_sha256)

    def annotated_notes(self) -> Iterator[dict[str, Any]]:
        """One record for each corrected text, in the format of the training corpora: `id`, `document`,
        `text` and `entities` with `start`, `end`, `text`, `label`, `assertion` and `verdict`.

        `entities` are the mentions after corrections, including unreviewed ones (`verdict` ''); `rejected`
        are the others. `is_complete`: every mention was reviewed, so that text without one has none.
        """
        newest = select(func.max(DocumentRow.id)).where(DocumentRow.text_sha256 == CorrectionRow.text_sha256)
        corrected = select(CorrectionRow.text_sha256, newest.scalar_subquery()).distinct()
        with read_transaction(self._engine) as connection:
            texts = connection.execute(corrected.order_by(CorrectionRow.text_sha256)).all()
        for text_sha256, document_id in texts:
            yield _record(self._engine, text_sha256, document_id)


def _record(engine: Engine, text_sha256: str, document_id: int) -> dict[str, Any]:
    columns = select(DocumentRow.external_id, TextRow.text).where(DocumentRow.id == document_id)
    with read_transaction(engine) as connection:
        note = connection.execute(columns.join(TextRow, TextRow.sha256 == DocumentRow.text_sha256)).one()
        corrections = _corrections(connection, text_sha256)
    answers = results.stream(engine, results.of_document(document_id, None))
    newest: list[dict[str, Any]] = next(
        (
            answer["entities"]
            for answer in answers
            if answer["task"] == Task.ENTITIES and answer["status"] == JobStatus.FINISHED
        ),
        [],
    )
    entities = [_entity(entity, note.text) for entity in with_verdicts(newest, corrections)]
    valid = [entity for entity in entities if entity["verdict"] != Verdict.REJECTED]
    return {
        "id": note.external_id,
        "document": note.external_id,
        "text": note.text,
        "entities": valid,
        "rejected": [entity for entity in entities if entity["verdict"] == Verdict.REJECTED],
        "is_complete": all(entity["verdict"] for entity in valid),
    }


def _entity(entity: dict[str, Any], text: str) -> dict[str, Any]:
    start, end = entity["start"], entity["end"]
    named = {name: entity[name] for name in ("label", "assertion", "verdict")}
    return {"start": start, "end": end, "text": text[start:end], **named}


def _corrections(connection: Connection, text_sha256: str) -> list[Correction]:
    of_one = CorrectionRow.text_sha256 == text_sha256
    corrections = select(CorrectionRow.__table__).where(of_one).order_by(CorrectionRow.span_start)
    return [_correction(row) for row in connection.execute(corrections)]


def _correction(row: Row[Any]) -> Correction:
    return Correction(
        verdict=row.verdict,
        found=MentionKey(row.found_start, row.found_end, row.found_label),
        start=row.span_start,
        end=row.span_end,
        label=row.label,
        assertion=row.assertion,
        corrected_by=row.corrected_by,
        corrected_at=row.corrected_at,
    )
