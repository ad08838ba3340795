"""Parts that several FHIR resources share: ids, references, the extension that names characters."""

from __future__ import annotations

import base64
import json
from typing import Any
from uuid import UUID, uuid5

from exports.source import export_metadata
from exports.source.vocabulary import Concept
from models.queries.note_export import ExportedNote

_NAMESPACE = UUID("5f6d1d6e-6f5c-5a0e-9a4a-1d3c7b8f2e10")
"""UUID namespace, drawn once; equal notes and recipes get equal ids."""
_DERIVATION = "http://hl7.org/fhir/StructureDefinition/derivation-reference"
AI_ASSERTED = {
    "security": [
        {
            "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
            "code": "AIAST",
            "display": "Artificial Intelligence asserted",
        }
    ]
}


def urn(note: ExportedNote | None, *parts: Any) -> str:
    """`urn:uuid:…` of a part of a note."""
    of_note = [] if note is None else [note.external_id, note.text]
    return f"urn:uuid:{uuid5(_NAMESPACE, json.dumps([*of_note, *parts], sort_keys=True))}"


def reference(kind: str, value: str) -> dict[str, Any]:
    """A reference by URL where the source gave one ('Patient/12'), otherwise by the source's identifier."""
    is_url = value.startswith((f"{kind}/", "urn:", "http://", "https://"))
    return {"reference": value} if is_url else {"type": kind, "identifier": {"value": value}}


def subject(note: ExportedNote) -> dict[str, Any]:
    """The patient; R4 requires one in a Condition even where the source names nobody."""
    patient = export_metadata.patient(note)
    return reference("Patient", patient) if patient else {"type": "Patient", "display": "not stated"}


def derived_from(note: ExportedNote, start: int, end: int) -> dict[str, Any]:
    """The characters [start, end) of the note, as the derivation-reference extension names them."""
    return {
        "url": _DERIVATION,
        "extension": [
            {"url": "reference", "valueReference": {"reference": urn(note, "note")}},
            {"url": "offset", "valueInteger": start},
            {"url": "length", "valueInteger": end - start},
        ],
    }


def attachment(text: str) -> dict[str, Any]:
    data = base64.b64encode(text.encode("utf-8")).decode("ascii")
    return {"attachment": {"contentType": "text/plain; charset=utf-8", "data": data}}


def codeable(text: str, concept: Concept | None = None) -> dict[str, Any]:
    """The note's words, with a code where the vocabulary has one; white space as FHIR's strings allow it."""
    words = {"text": " ".join(text.split())}
    if concept is None or not concept.code:
        return words
    named = {"system": concept.system, "code": concept.code, "display": concept.display}
    return {"coding": [{name: value for name, value in named.items() if value}], **words}
