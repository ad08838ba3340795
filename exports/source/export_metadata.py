"""What a note's metadata says of it, whichever source it came from: patient, encounter, title, moment.

The names are those of FHIR, HL7 v2 and C-CDA as they are read here, of OMOP's `note` and of MIMIC-IV-Note.
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
    """The source's own id of the person; empty where it said nothing."""
    return _first(note, _PATIENT)


def encounter(note: ExportedNote) -> str:
    return _first(note, _ENCOUNTER)


def title(note: ExportedNote) -> str:
    return _first(note, _TITLE)


def moment(note: ExportedNote) -> datetime | None:
    """When the note was written; None where its source gave no time that ISO 8601 knows."""
    for name in _MOMENT:
        try:
            return datetime.fromisoformat(_text(note.metadata.get(name)))
        except ValueError:
            continue
    return None


def whole_number(value: Any) -> int | None:
    """A number, or a text that is one: sources spell ids either way."""
    text = _text(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None


def _first(note: ExportedNote, names: tuple[str, ...]) -> str:
    return next(filter(None, (_text(note.metadata.get(name)) for name in names)), "")


def _text(value: Any) -> str:
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
