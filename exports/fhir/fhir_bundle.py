"""A note and its answers as one FHIR R4 Bundle, validated by fhir.resources, one line of NDJSON each.

It holds the note as a DocumentReference, notemill as a Device, a resource for each entity, passage and
summary, each marked as asserted by an artificial intelligence, and a Provenance that ties them to the note
and the recipe.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, BinaryIO

from exports.fhir.fhir_entities import entity_resource, passage_resource
from exports.fhir.fhir_parts import AI_ASSERTED, attachment, derived_from, reference, subject, urn
from exports.source import export_metadata
from exports.source.vocabulary import Vocabulary
from models.queries.note_export import ExportedNote

_PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"


def write_fhir(notes: Iterable[ExportedNote], file: BinaryIO, vocabulary: Vocabulary) -> None:
    """Writes NDJSON, a Bundle for each note. Raises for an invalid Bundle, which is our mistake."""
    from fhir.resources.R4B.bundle import Bundle

    for note in notes:
        resources_of_note = bundle(note, vocabulary)
        Bundle.model_validate(resources_of_note)
        # Not its own model_dump_json: the same JSON, in half as much time again as the check takes.
        file.write(json.dumps(resources_of_note, ensure_ascii=False).encode("utf-8") + b"\n")


def bundle(note: ExportedNote, vocabulary: Vocabulary) -> dict[str, Any]:
    """The Bundle as JSON values. Ids derive from the note and the recipe, so that the same export has the
    same ids."""
    source = _source(note)
    derived = [*_derived(note, vocabulary)]
    resources = [source]
    for recipe in dict.fromkeys(answer["recipe"] for answer, _ in derived):
        derived_resources = [resource for answer, resource in derived if answer["recipe"] == recipe]
        finished = max(answer["finished_at"] for answer, _ in derived if answer["recipe"] == recipe)
        device = _device(recipe)
        resources += [
            device,
            *derived_resources,
            _provenance(note, recipe, finished, source, device, derived_resources),
        ]
    return {
        "resourceType": "Bundle",
        "id": urn(note, "bundle").removeprefix("urn:uuid:"),
        "type": "collection",
        "entry": [{"fullUrl": f"urn:uuid:{resource['id']}", "resource": resource} for resource in resources],
    }


def _derived(note: ExportedNote, vocabulary: Vocabulary) -> Iterable[tuple[dict[str, Any], dict[str, Any]]]:
    for answer, entity in note.items("entities"):
        concept = vocabulary.concept(entity["label"], entity["text"])
        yield answer, entity_resource(note, answer, entity, concept)
    for answer, passage in note.items("passages"):
        yield answer, passage_resource(note, answer, passage)
    for answer, summary in note.summaries():
        yield answer, _summary(note, answer, summary)


def _source(note: ExportedNote) -> dict[str, Any]:
    written_at = export_metadata.moment(note)
    title, encounter = export_metadata.title(note), export_metadata.encounter(note)
    dated = {"date": written_at.astimezone().isoformat()} if written_at else {}
    met = {"context": {"encounter": [reference("Encounter", encounter)]}} if encounter else {}
    return {
        "resourceType": "DocumentReference",
        "id": urn(note, "note").removeprefix("urn:uuid:"),
        "identifier": [{"value": note.external_id}],
        "status": "current",
        "subject": subject(note),
        **dated,
        **({"description": title} if title else {}),
        "content": [attachment(note.text)],
        **met,
    }


def _summary(note: ExportedNote, answer: dict[str, Any], summary: dict[str, Any]) -> dict[str, Any]:
    """The summary; every sentence names its source characters."""
    sources = [source for sentence in summary["sentences"] for source in sentence["sources"]]
    spans = sorted({(source["start"], source["end"]) for source in sources})
    return {
        "resourceType": "DocumentReference",
        "id": urn(note, answer["recipe"], answer["parameters"], "summary").removeprefix("urn:uuid:"),
        "meta": AI_ASSERTED,
        "extension": [derived_from(note, start, end) for start, end in spans],
        "status": "current",
        "docStatus": "preliminary",
        "subject": subject(note),
        "date": answer["finished_at"],
        "description": summary["title"] or "Summary",
        "relatesTo": [{"code": "transforms", "target": {"reference": urn(note, "note")}}],
        "content": [attachment(summary["text"] or summary["title"])],
    }


def _device(recipe: str) -> dict[str, Any]:
    return {
        "resourceType": "Device",
        "id": urn(None, recipe).removeprefix("urn:uuid:"),
        "deviceName": [{"name": "notemill", "type": "user-friendly-name"}],
        "version": [{"value": recipe}],
    }


def _provenance(
    note: ExportedNote,
    recipe: str,
    finished: str,
    source: dict[str, Any],
    device: dict[str, Any],
    derived_resources: list[dict[str, Any]],
) -> dict[str, Any]:
    assembler = {"coding": [{"system": _PARTICIPANT, "code": "assembler"}]}
    return {
        "resourceType": "Provenance",
        "id": urn(note, recipe, "provenance").removeprefix("urn:uuid:"),
        "meta": AI_ASSERTED,
        "target": [{"reference": f"urn:uuid:{resource['id']}"} for resource in derived_resources],
        "recorded": finished,
        "agent": [{"type": assembler, "who": {"reference": f"urn:uuid:{device['id']}"}}],
        "entity": [{"role": "source", "what": {"reference": f"urn:uuid:{source['id']}"}}],
    }
