"""FHIR out: Bundles that fhir.resources accepts, spans that match, and nothing said of the wrong person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from exports.source.vocabulary import Concept, Vocabulary

if TYPE_CHECKING:
    from exported import Archive

pytest_plugins = ("exported",)


def _bundles(archive: Archive, vocabulary: Vocabulary | None = None) -> list[Bundle]:
    lines = archive.write("fhir", "out.ndjson", vocabulary).read_text("utf-8").splitlines()
    return [Bundle.model_validate_json(line) for line in lines]


def _resources(bundle: Bundle, kind: str) -> list[Any]:
    return [one.resource for one in bundle.entry if one.resource.get_resource_type() == kind]


@pytest.fixture
def odd(archive: Archive) -> Bundle:
    """The Bundle of the note with odd characters."""
    return _bundles(archive)[0]


def test_every_span_is_in_the_note_that_it_refers_to(archive: Archive) -> None:
    seen = 0
    for bundle, note in zip(_bundles(archive), archive.notes(), strict=True):
        by_url = {one.fullUrl: one.resource for one in bundle.entry}
        for one in _derived(bundle):
            for extension in one.extension or ():
                parts = {part.url: part for part in extension.extension}
                source = by_url[parts["reference"].valueReference.reference]
                text = source.content[0].attachment.data.decode("utf-8")
                start = parts["offset"].valueInteger
                quoted = text[start : start + parts["length"].valueInteger]
                assert text == note.text
                assert " ".join(quoted.split()) == _words(one, quoted)
                seen += 1
    assert seen == 13 + 3 + 3


def test_what_is_derived_is_marked_and_has_a_provenance(odd: Bundle) -> None:
    derived = list(_derived(odd))
    assert len(derived) == 13
    for one in derived:
        assert [coding.code for coding in one.meta.security] == ["AIAST"]
    targets = {ref.reference for one in _resources(odd, "Provenance") for ref in one.target}
    assert targets == {f"urn:uuid:{one.id}" for one in derived}
    assert {one.entity[0].role for one in _resources(odd, "Provenance")} == {"source"}


def test_conditions_are_the_patients_and_say_how_sure(odd: Bundle) -> None:
    said = {one.code.text: one.verificationStatus.coding[0].code for one in _resources(odd, "Condition")}
    assert said == {
        **dict.fromkeys(["Chest pain", "pain", "chest pressure", "asthma"], "unconfirmed"),
        "fever": "refuted",
        "sepsis": "provisional",
    }
    assert {one.subject.identifier.value for one in _resources(odd, "Condition")} == {"12"}


def test_what_is_the_mothers_is_no_condition_of_the_patient(odd: Bundle) -> None:
    (one,) = [one for one in _resources(odd, "Observation") if one.code.text == "diabetes"]
    assert one.valueCodeableConcept.text == "family"


def test_a_medication_has_its_dose_route_and_frequency(odd: Bundle) -> None:
    (one,) = _resources(odd, "MedicationStatement")
    assert (one.status, one.medicationCodeableConcept.text) == ("active", "Aspirin")
    assert (one.dosage[0].text, one.dosage[0].route.text) == ("100 mg p.o. daily", "p.o.")
    assert one.context.identifier.value == "77"


def test_a_summary_transforms_its_source(odd: Bundle) -> None:
    source, summary = _resources(odd, "DocumentReference")
    assert summary.relatesTo[0].code == "transforms"
    assert summary.relatesTo[0].target.reference == f"urn:uuid:{source.id}"
    assert summary.content[0].attachment.data == b"Title\nWas ill."


def test_the_same_export_has_the_same_ids(archive: Archive) -> None:
    assert archive.write("fhir", "one").read_bytes() == archive.write("fhir", "two").read_bytes()


def test_a_vocabulary_gives_codings(archive: Archive) -> None:
    vocabulary = Vocabulary(
        {("problem", "sepsis"): Concept(system="http://snomed.info/sct", code="91302008")}
    )
    found = [one for one in _resources(_bundles(archive, vocabulary)[0], "Condition") if one.code.coding]
    assert [(one.code.text, one.code.coding[0].code) for one in found] == [("sepsis", "91302008")]


def _derived(bundle: Bundle) -> list[Any]:
    kinds = ("Condition", "MedicationStatement", "Observation")
    made = [one for kind in kinds for one in _resources(bundle, kind)]
    return [*made, *_resources(bundle, "DocumentReference")[1:]]


def _words(resource: Any, quoted: str) -> str:
    """What the resource itself quotes; a summary quotes nothing."""
    kind = resource.get_resource_type()
    if kind == "DocumentReference":
        return " ".join(quoted.split())
    if kind == "MedicationStatement":
        return str(resource.medicationCodeableConcept.text)
    is_passage = resource.component is not None if kind == "Observation" else False
    if is_passage and resource.component[0].code.text == "probability":
        return " ".join(resource.valueString.split())
    return str(resource.code.text)
