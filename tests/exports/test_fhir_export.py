"""FHIR export: valid Bundles, matching spans, and no finding of a relative as the patient's condition."""

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
    return [entry.resource for entry in bundle.entry if entry.resource.get_resource_type() == kind]


@pytest.fixture
def odd(archive: Archive) -> Bundle:
    """The Bundle of the note with odd characters."""
    return _bundles(archive)[0]


def test_every_span_is_in_the_note_that_it_refers_to(archive: Archive) -> None:
    seen = 0
    for bundle, note in zip(_bundles(archive), archive.notes(), strict=True):
        by_url = {entry.fullUrl: entry.resource for entry in bundle.entry}
        for resource in _derived(bundle):
            for extension in resource.extension or ():
                parts = {part.url: part for part in extension.extension}
                source = by_url[parts["reference"].valueReference.reference]
                text = source.content[0].attachment.data.decode("utf-8")
                start = parts["offset"].valueInteger
                quoted = text[start : start + parts["length"].valueInteger]
                assert text == note.text
                assert " ".join(quoted.split()) == _words(resource, quoted)
                seen += 1
    assert seen == 13 + 3 + 3


def test_derived_resources_are_labelled_as_ai_and_have_a_provenance(odd: Bundle) -> None:
    derived = list(_derived(odd))
    assert len(derived) == 13
    for resource in derived:
        assert [coding.code for coding in resource.meta.security] == ["AIAST"]
    targets = {ref.reference for resource in _resources(odd, "Provenance") for ref in resource.target}
    assert targets == {f"urn:uuid:{resource.id}" for resource in derived}
    assert {resource.entity[0].role for resource in _resources(odd, "Provenance")} == {"source"}


def test_conditions_belong_to_the_patient_and_state_their_verification_status(odd: Bundle) -> None:
    statuses = {
        condition.code.text: condition.verificationStatus.coding[0].code
        for condition in _resources(odd, "Condition")
    }
    assert statuses == {
        **dict.fromkeys(["Chest pain", "pain", "chest pressure", "asthma"], "unconfirmed"),
        "fever": "refuted",
        "sepsis": "provisional",
    }
    assert {condition.subject.identifier.value for condition in _resources(odd, "Condition")} == {"12"}


def test_a_disease_of_the_mother_is_no_condition_of_the_patient(odd: Bundle) -> None:
    (observation,) = [
        observation for observation in _resources(odd, "Observation") if observation.code.text == "diabetes"
    ]
    assert observation.valueCodeableConcept.text == "family"


def test_a_medication_has_its_dose_route_and_frequency(odd: Bundle) -> None:
    (statement,) = _resources(odd, "MedicationStatement")
    assert (statement.status, statement.medicationCodeableConcept.text) == ("active", "Aspirin")
    assert (statement.dosage[0].text, statement.dosage[0].route.text) == ("100 mg p.o. daily", "p.o.")
    assert statement.context.identifier.value == "77"


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
    coded = [
        condition
        for condition in _resources(_bundles(archive, vocabulary)[0], "Condition")
        if condition.code.coding
    ]
    assert [(condition.code.text, condition.code.coding[0].code) for condition in coded] == [
        ("sepsis", "91302008")
    ]


def _derived(bundle: Bundle) -> list[Any]:
    kinds = ("Condition", "MedicationStatement", "Observation")
    answers = [resource for kind in kinds for resource in _resources(bundle, kind)]
    return [*answers, *_resources(bundle, "DocumentReference")[1:]]


def _words(resource: Any, quoted: str) -> str:
    """Returns the words that the resource quotes; a summary quotes nothing, so its source text counts."""
    kind = resource.get_resource_type()
    if kind == "DocumentReference":
        return " ".join(quoted.split())
    if kind == "MedicationStatement":
        return str(resource.medicationCodeableConcept.text)
    is_passage = resource.component is not None if kind == "Observation" else False
    if is_passage and resource.component[0].code.text == "probability":
        return " ".join(resource.valueString.split())
    return str(resource.code.text)
