"""Converts one record of a source into a document, or into the reason for its refusal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.documents import Document, Refused
from producer.records.columns import Columns
from producer.records.json_values import NotJsonError, as_json, checked_text

MAX_ID_CHARACTERS = 500
"""The limit of models.documents.Document."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The source of records."""

    source: str
    """The document's `source`: the path as typed, or the database without its credentials."""
    name: str
    """The prefix of made-up ids, such as `notes.jsonl` in `notes.jsonl:17`."""

    def refused(self, reason: str, line: int | None = None, external_id: str | None = None) -> Refused:
        return Refused(source=self.source, line=line, external_id=external_id, reason=reason)


def as_document(
    record: Mapping[str, Any], columns: Columns, origin: Origin, line: int | None
) -> Document | Refused:
    """The document of a record; every column but id and text becomes metadata. `line` is 1-based, None for a
    whole file. A record without an id is named by its source and line."""
    external_id: str | None = None
    try:
        external_id = _external_id(record, columns, origin, line)
        metadata = {name: value for name, value in record.items() if name not in (columns.id, columns.text)}
        for name, column in columns.meanings:
            metadata.setdefault(name, _number_as_text(record[column]))
        return Document(
            external_id=external_id,
            text=_text(record.get(columns.text)),
            source=origin.source,
            line=line,
            metadata=as_json(metadata),
        )
    except NotJsonError as refusal:
        return origin.refused(refusal.reason, line, external_id)


def storable(record: Document | Refused) -> Document | Refused:
    """A document made by a program, with its metadata as JSON; refused where no database could hold it."""
    if not isinstance(record, Document):
        return record
    try:
        checked_text(record.external_id)
        return record.model_copy(update={"metadata": as_json(record.metadata)})
    except NotJsonError as refusal:
        return Refused(source=record.source, line=record.line, reason=refusal.reason)


def _external_id(record: Mapping[str, Any], columns: Columns, origin: Origin, line: int | None) -> str:
    value = as_json(record.get(columns.id)) if columns.id is not None else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # what a data frame makes of a whole column of ids with one gap in it
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        raise NotJsonError("id is not a string or a whole number")
    external_id = "" if value is None else str(value)
    if not external_id.strip():
        if columns.must_have_id:
            raise NotJsonError("no id")
        external_id = origin.name if line is None else f"{origin.name}:{line}"
    if len(external_id) > MAX_ID_CHARACTERS:
        raise NotJsonError(f"id longer than {MAX_ID_CHARACTERS} characters")
    return external_id


def _number_as_text(value: Any) -> Any:
    """A number as text, as other formats store it; other values unchanged. Ids are not for arithmetic."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _text(value: Any) -> str:
    if value is None or value != value:  # NaN is how a data frame writes a missing text
        raise NotJsonError("no text")
    if not isinstance(value, str):
        raise NotJsonError("text is not a string")
    if not value.strip():
        raise NotJsonError("no text")
    return checked_text(value)
