"""What hospital formats say of a note beside its text, under the same names whichever format it was."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from models.documents import Document, Refused
from producer.records.columns import Columns
from producer.records.records import Origin, as_document

_COLUMNS = Columns(text="text", id="id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clinical:
    """Metadata of a note; what is empty is left out. docs/reference/formats-in.md says what each comes from."""

    format: str
    patient: str = ""
    """The source's own id of the person."""
    encounter: str = ""
    type: str = ""
    """A code: LOINC where the source has one, else its own."""
    type_system: str = ""
    type_name: str = ""
    title: str = ""
    date: str = ""
    """ISO 8601, of the note itself rather than of its export."""
    status: str = ""
    version: str = ""
    """Sorts versions of one note."""
    media_type: str = ""
    """Of the attachment that the text was taken from."""
    pages: int = 0
    pages_without_text: int = 0
    """Pages of a PDF that are pictures only: nothing of them was read."""


def clinical_document(
    origin: Origin,
    line: int | None,
    external_id: str,
    text: str,
    clinical: Clinical,
    replaces: tuple[str, ...] = (),
) -> Document | Refused:
    """The document, or the reason why not. Without an id it is called by the origin's name and line."""
    told = {name: value for name, value in asdict(clinical).items() if value}
    record = as_document({"id": external_id, "text": text, **told}, _COLUMNS, origin, line)
    if isinstance(record, Refused):
        return record
    return record.model_copy(update={"version": clinical.version, "replaces": replaces})
