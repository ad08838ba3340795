"""Metadata that hospital formats give for a note, under names that all formats share."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from models.documents import Document, Refused
from producer.records.columns import Columns
from producer.records.records import Origin, as_document

_COLUMNS = Columns(text="text", id="id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clinical:
    """Metadata of a note; what is empty is left out. See docs/reference/formats-in.md for sources."""

    format: str
    patient: str = ""
    """The source's id of the person."""
    encounter: str = ""
    type: str = ""
    """The type code: LOINC where the source has one, otherwise its own."""
    type_system: str = ""
    type_name: str = ""
    title: str = ""
    date: str = ""
    """ISO 8601 time of the note, not of its export."""
    status: str = ""
    version: str = ""
    """Text that sorts versions of one note."""
    media_type: str = ""
    """Media type of the attachment that held the text."""
    pages: int = 0
    pages_without_text: int = 0
    """PDF pages that are images only; nothing of them was read."""


def clinical_document(
    origin: Origin,
    line: int | None,
    external_id: str,
    text: str,
    clinical: Clinical,
    replaces: tuple[str, ...] = (),
) -> Document | Refused:
    """The document, or the reason for its refusal. Without an id: named by origin and line."""
    metadata = {name: value for name, value in asdict(clinical).items() if value}
    record = as_document({"id": external_id, "text": text, **metadata}, _COLUMNS, origin, line)
    if isinstance(record, Refused):
        return record
    return record.model_copy(update={"version": clinical.version, "replaces": replaces})
