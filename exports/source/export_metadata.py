"""Metadata of a note for exports, whichever source it came from: patient, encounter, title, time.

Reads the names of FHIR, HL7 v2 and C-CDA as the readers store them, of OMOP's `note` and of MIMIC-IV-Note.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from models.queries.note_export import ExportedNote

_PATIENT = ("patient", "person_id", "subject_id", "patient_id")
_ENCOUNTER = ("encounter", "visit_occurrence_id", "hadm_id", "encounter_id")
_TITLE = ("title", "note_title", "type_name", "note_type")
_MOMENT = ("date", "note_datetime", "note_date", "charttime", "chartdate")


def patient(note: ExportedNote) -> str:
    """The source's id of the person; empty without one."""
    return _first(note, _PATIENT)


def encounter(note: ExportedNote) -> str:
    return _first(note, _ENCOUNTER)


def title(note: ExportedNote) -> str:
    return _first(note, _TITLE)


def moment(note: ExportedNote) -> datetime | None:
    """When the note was written; None where the source gives no ISO 8601 time."""
    for name in _MOMENT:
        try:
            return datetime.fromisoformat(_text(note.metadata.get(name)))
        except ValueError:
            continue
    return None


def whole_number(value: Any) -> int | None:
    """A number, or text that is one: sources write ids either way."""
    text = _text(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None


def _first(note: ExportedNote, names: tuple[str, ...]) -> str:
    return next(filter(None, (_text(note.metadata.get(name)) for name in names)), "")


def _text(value: Any) -> str:
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
