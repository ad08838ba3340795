"""An entity or a passage as a FHIR resource; states nothing that the note does not say of the patient.

Mentions of the family, and conditional ones, are Observations: a Condition or a MedicationStatement would
read as the patient's own.
"""

from __future__ import annotations

from typing import Any

from exports.fhir.fhir_parts import AI_ASSERTED, codeable, derived_from, reference, subject, urn
from exports.source import export_metadata
from exports.source.vocabulary import Concept
from models.queries.note_export import ExportedNote

_NOT_THE_PATIENTS = {"family", "conditional"}
_VERIFICATION = {"present": "unconfirmed", "historical": "unconfirmed", "possible": "provisional"}
"""Verification status: unconfirmed; `refuted` for a negated mention."""
_TAKEN = {"present": "active", "historical": "completed", "negated": "not-taken"}
_VERIFICATION_SYSTEM = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
_CLINICAL_SYSTEM = "http://terminology.hl7.org/CodeSystem/condition-clinical"


def entity_resource(
    note: ExportedNote, answer: dict[str, Any], entity: dict[str, Any], concept: Concept
) -> dict[str, Any]:
    """A Condition for a problem, a MedicationStatement for a medication, an Observation otherwise."""
    resource = _common_fields(note, answer, entity, entity["label"])
    code = codeable(entity["text"], concept)
    if entity["assertion"] not in _NOT_THE_PATIENTS:
        if entity["label"] == "problem":
            return resource | _condition(note, entity, code)
        if entity["label"] == "medication":
            return resource | _medication(note, entity, code)
    return resource | _observation(note, entity, code)


def passage_resource(note: ExportedNote, answer: dict[str, Any], passage: dict[str, Any]) -> dict[str, Any]:
    """A sentence that answers a query: the query is the code, the sentence the value."""
    return _common_fields(note, answer, passage, "passage") | {
        "resourceType": "Observation",
        "status": "preliminary",
        "code": codeable(answer["parameters"]["query"]),
        "subject": subject(note),
        **_encounter_field(note),
        "valueString": passage["text"].strip(),
        "component": [
            {"code": codeable("probability"), "valueQuantity": {"value": round(passage["score"], 6)}}
        ],
    }


def _common_fields(
    note: ExportedNote, answer: dict[str, Any], span: dict[str, Any], kind: str
) -> dict[str, Any]:
    place = (answer["recipe"], answer["parameters"], kind, span["start"], span["end"])
    return {
        "id": urn(note, *place).removeprefix("urn:uuid:"),
        "meta": AI_ASSERTED,
        "extension": [derived_from(note, span["start"], span["end"])],
    }


def _condition(note: ExportedNote, entity: dict[str, Any], code: dict[str, Any]) -> dict[str, Any]:
    verified = _VERIFICATION.get(entity["assertion"], "refuted")
    clinical = {"historical": "inactive", "negated": ""}.get(entity["assertion"], "active")
    status = {"clinicalStatus": {"coding": [{"system": _CLINICAL_SYSTEM, "code": clinical}]}}
    return {
        "resourceType": "Condition",
        **(status if clinical else {}),
        "verificationStatus": {"coding": [{"system": _VERIFICATION_SYSTEM, "code": verified}]},
        "code": code,
        "subject": subject(note),
        **_encounter_field(note),
    }


def _medication(note: ExportedNote, entity: dict[str, Any], code: dict[str, Any]) -> dict[str, Any]:
    of_kind = {attribute["kind"]: codeable(attribute["text"]) for attribute in reversed(entity["attributes"])}
    words = [of_kind[kind]["text"] for kind in ("dosage", "route", "frequency") if kind in of_kind]
    dosage: dict[str, Any] = {"text": " ".join(words)}
    if "route" in of_kind:
        dosage["route"] = of_kind["route"]
    if "frequency" in of_kind:
        dosage["timing"] = {"code": of_kind["frequency"]}
    encounter = export_metadata.encounter(note)
    return {
        "resourceType": "MedicationStatement",
        "status": _TAKEN.get(entity["assertion"], "unknown"),
        "medicationCodeableConcept": code,
        "subject": subject(note),
        **({"context": reference("Encounter", encounter)} if encounter else {}),
        **({"dosage": [dosage]} if words else {}),
    }


def _observation(note: ExportedNote, entity: dict[str, Any], code: dict[str, Any]) -> dict[str, Any]:
    """An Observation whose value is the note's value, otherwise the assertion; label and attributes are
    components."""
    value = next(
        (attribute["text"] for attribute in entity["attributes"] if attribute["kind"] == "value"), None
    )
    components = {"label": entity["label"], "assertion": entity["assertion"]}
    components |= {
        attribute["kind"]: attribute["text"]
        for attribute in reversed(entity["attributes"])
        if attribute["kind"] != "value"
    }
    return {
        "resourceType": "Observation",
        "status": "preliminary",
        "code": code,
        "subject": subject(note),
        **_encounter_field(note),
        **({"valueString": value} if value else {"valueCodeableConcept": codeable(entity["assertion"])}),
        "component": [{"code": codeable(name), "valueString": text} for name, text in components.items()],
    }


def _encounter_field(note: ExportedNote) -> dict[str, Any]:
    encounter = export_metadata.encounter(note)
    return {"encounter": reference("Encounter", encounter)} if encounter else {}
