"""FHIR R4 bulk exports and Bundles: which notes are read, in which format, and why others are refused."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import making
import pytest
from fhir.resources.R4B import get_fhir_model_class
from hypothesis import given
from hypothesis import strategies as st
from workshop import ROOT

from models.documents import Document, Refused
from models.queries.queries import Queries
from models.store.store import Store
from producer.readers.fhir_notes import read_resources
from producer.records.columns import ColumnChoice
from producer.records.records import Origin
from producer.sources.files import read_many
from producer.sources.sources import open_sources
from producer.submission.record_registration import register
from producer.submission.rejects_file import RejectsFile

FORMATS = ROOT / "examples" / "formats"
EXPORT = FORMATS / "DocumentReference.000.ndjson"
ORIGIN = Origin(source="export.ndjson", name="export.ndjson")


def read(*sources: object) -> list[Document | Refused]:
    return list(open_sources(sources).records)  # type: ignore[arg-type]


def documents_by_id(*sources: object) -> dict[str, Document]:
    return {record.external_id: record for record in read(*sources) if isinstance(record, Document)}


def resources(path: Path) -> Iterator[dict[str, Any]]:
    return map(json.loads, path.read_text("utf-8").splitlines())


def a_note(text: str = "Fever.", **changes: Any) -> dict[str, Any]:
    attachment = {"contentType": "text/plain", "data": base64.b64encode(text.encode()).decode()}
    usual = {"resourceType": "DocumentReference", "id": "n", "status": "current"}
    return {**usual, "content": [{"attachment": attachment}], **changes}


def note_of(*notes: dict[str, Any]) -> list[Document | Refused]:
    return list(read_resources(enumerate(notes, start=1), ORIGIN))


@pytest.mark.parametrize("name", ["DocumentReference.000.ndjson", "DiagnosticReport.000.ndjson"])
def test_the_fixtures_are_valid_for_an_independent_library(name: str) -> None:
    for resource in resources(FORMATS / name):
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    get_fhir_model_class("Bundle").model_validate_json((FORMATS / "bundle.json").read_text("utf-8"))


def test_the_resource_becomes_metadata_of_the_note() -> None:
    note = documents_by_id(EXPORT)["DocumentReference/prog-1"]
    assert note.metadata == {
        "format": "fhir",
        "patient": "700456",
        "encounter": "e-2",
        "type": "11506-3",
        "type_system": "http://loinc.org",
        "type_name": "Progress note",
        "date": "2026-02-03T09:12:00Z",
        "status": "final",
        "version": "2026-02-03T09:30:00.000+00:00 000000000001",
        "media_type": "text/plain",
    }
    assert note.line == 2


def test_plain_text_is_preferred_to_html_and_xhtml_to_rtf() -> None:
    notes = documents_by_id(EXPORT)
    assert notes["DocumentReference/prog-1"].text.startswith("Progress note - day 3\nTemp 37.9 °C")
    assert notes["DocumentReference/con-1"].metadata["media_type"] == "application/xhtml+xml"
    assert notes["DocumentReference/op-1"].metadata["media_type"] == "application/rtf"


def test_an_attachment_is_read_in_its_own_charset_and_keeps_its_line_ends() -> None:
    text = documents_by_id(EXPORT)["DocumentReference/ed-1"].text
    assert "Übelkeit und 38,5 °C Fieber seit gestern.\r\n" in text


def test_invalid_notes_are_refused_with_the_reason() -> None:
    refused = {record.external_id: record.reason for record in read(EXPORT) if isinstance(record, Refused)}
    assert refused == {
        "DocumentReference/old-1": "superseded",
        "DocumentReference/err-1": "entered in error",
        "DocumentReference/url-1": "the attachment is elsewhere (url)",
    }


def test_a_report_is_read_from_its_presented_form() -> None:
    outcomes = {
        record.external_id: getattr(record, "reason", "taken")
        for record in read(FORMATS / "DiagnosticReport.000.ndjson")
    }
    assert outcomes == {
        "DiagnosticReport/ct-1": "taken",
        "DiagnosticReport/ct-2": "not written yet",
        "DiagnosticReport/ct-3": "entered in error",
        "DiagnosticReport/ct-4": "no attachment",
    }


def test_a_bundle_resolves_its_binaries_and_refuses_other_resources() -> None:
    records = read(FORMATS / "bundle.json")
    assert isinstance(records[0], Document)
    assert records[0].text.startswith("Telephone encounter\nMother reports")
    reasons = [record.reason for record in records[1:] if isinstance(record, Refused)]
    assert reasons == ["no note: Observation resource", "no note: Patient resource"]


@pytest.fixture
def registered(store: Store, queries: Queries, tmp_path: Path) -> dict[str, Any]:
    """Registers the export as a run; returns its progress, the ids of its results and the run's id."""
    recipes = making.recipes_of(making.a_serving())
    questions = [making.SEARCH]
    run_id = store.open_run(questions=questions, recipes=list(recipes.values()), sources=[])
    with RejectsFile(tmp_path / "rejects") as rejects:
        records = open_sources([EXPORT], ColumnChoice()).records
        batches = list(
            register(
                records, store=store, run_id=run_id, questions=questions, recipes=recipes, rejects=rejects
            )
        )
    progress = batches[-1].progress
    return {
        "progress": progress,
        "ids": {result["external_id"] for result in queries.results(run_id=run_id)},
        "run": run_id,
    }


def test_in_a_run_a_newer_version_replaces_the_older(registered: dict[str, Any], queries: Queries) -> None:
    document = queries.document("DocumentReference/dis-1")
    assert document is not None
    assert "Spironolactone 25 mg" in document.text
    assert queries.run_progress(registered["run"]).documents == len(registered["ids"]) == 6


def test_in_a_run_a_replaced_note_is_removed(registered: dict[str, Any]) -> None:
    assert "DocumentReference/prog-2b" in registered["ids"]
    assert "DocumentReference/prog-2" not in registered["ids"]


def test_refused_notes_are_counted_by_reason(registered: dict[str, Any]) -> None:
    assert registered["progress"].refused_by_reason == {
        "superseded": 2,
        "entered in error": 1,
        "the attachment is elsewhere (url)": 1,
        "replaced or taken back by its source": 1,
    }


def test_a_note_withdrawn_in_a_later_batch_leaves_the_run(store: Store, queries: Queries) -> None:
    run_id, _ = making.submit(store, making.documents("Fever.", "Cough."))
    assert store.withdraw(run_id, ["note-1", "unknown"]) == ("note-1",)
    progress = queries.run_progress(run_id)
    assert (progress.documents, progress.pending, progress.cancelled) == (1, 1, 0)
    assert store.withdraw(run_id, ["note-1"]) == ()


def test_an_older_version_does_not_replace_a_newer_one(store: Store, queries: Queries) -> None:
    new = Document(external_id="n", text="new", version="2", metadata={"version": "2"})
    run_id, _ = making.submit(store, [new])
    old = new.model_copy(update={"text": "old", "version": "1"})
    registered = store.register(run_id, [old], [making.ENTITIES], making.recipes_of(making.a_serving()))
    assert [refused.reason for refused in registered.refused] == ["superseded"]
    assert {result["external_id"] for result in queries.results(run_id=run_id)} == {"n"}


def test_a_newer_version_in_a_later_batch_cancels_jobs_of_the_older(store: Store, queries: Queries) -> None:
    old = Document(external_id="n", text="old", version="1", metadata={"version": "1"})
    run_id, _ = making.submit(store, [old])
    new = old.model_copy(update={"text": "new", "version": "2"})
    registered = store.register(run_id, [new], [making.ENTITIES], making.recipes_of(making.a_serving()))
    assert [refused.reason for refused in registered.refused] == ["superseded"]
    assert (queries.run_progress(run_id).documents, queries.run_progress(run_id).pending) == (1, 1)
    assert queries.counts()["jobs"]["cancelled"] == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"content": "x"}, "malformed DocumentReference (content)"),
        ({"content": [{"attachment": {"contentType": "text/plain", "data": "@"}}]}, "malformed base64"),
        (
            {"content": [{"attachment": {"contentType": "image/jpeg", "data": "aGk="}}]},
            "a kind of attachment that is not read",
        ),
        (
            {"content": [{"attachment": {"contentType": "text/plain; charset=x-y", "data": "aGk="}}]},
            "unknown charset",
        ),
        ({"content": [{"attachment": {"contentType": "text/plain", "data": "/w=="}}]}, "invalid UTF-8"),
        ({"content": []}, "no attachment"),
        ({"status": 7}, "malformed DocumentReference (status)"),
        ({"id": "n" * 600}, "id longer than 500 characters"),
    ],
)
def test_the_reason_of_a_refusal_contains_no_note_text(change: dict[str, Any], reason: str) -> None:
    (record,) = note_of(a_note(**change))
    assert isinstance(record, Refused)
    assert (record.reason, record.line) == (reason, 1)


def test_a_flaw_in_an_unused_field_does_not_refuse_the_note() -> None:
    (record,) = note_of(a_note(author="not a list", unknownElement=[1], description="CT"))
    assert isinstance(record, Document)
    assert record.metadata["title"] == "CT"


def test_an_attachment_without_a_media_type_is_plain_text() -> None:
    (record,) = note_of(a_note(content=[{"attachment": {"data": "RmV2ZXI="}}]))
    assert isinstance(record, Document)
    assert record.text == "Fever"


def test_json_that_is_not_fhir_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"notes": []}')
    assert [record.reason for record in read(tmp_path) if isinstance(record, Refused)] == [
        "JSON that is no FHIR resource"
    ]


ODD: list[Any] = [None, True, 3, "x", "", [], {}, [None], [[]], {"data": 3}, {"attachment": {"data": "="}}]
NAMES = ["resourceType", "content", "attachment", "data", "url", "id", "entry", "resource", "meta", "status"]
ANYTHING = st.sampled_from(ODD) | st.lists(st.sampled_from(ODD), max_size=2)
OBJECTS = st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=3)


@given(changes=st.dictionaries(st.sampled_from([*NAMES, "type", "context", "relatesTo"]), ANYTHING | OBJECTS))
def test_any_resource_content_gives_a_note_or_a_reason(changes: dict[str, Any]) -> None:
    assert all(isinstance(record, Document | Refused) for record in note_of(a_note(**changes)))


@given(
    entries=ANYTHING | st.lists(OBJECTS | st.builds(lambda inner: {"resource": inner}, OBJECTS), max_size=3)
)
def test_any_bundle_content_gives_a_note_or_a_reason(entries: Any) -> None:
    bundle = {"resourceType": "Bundle", "entry": entries}
    assert all(isinstance(record, Document | Refused) for record in note_of(bundle))


@given(cut=st.integers(0, 400), junk=st.binary(max_size=8))
def test_a_broken_export_gives_reasons_and_no_exception(
    tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "broken.ndjson"
    whole = EXPORT.read_bytes()[:3000]
    path.write_bytes(whole[:cut] + junk + whole[cut + len(junk) :])
    # If the first line is not FHIR, the file counts as a table without the needed columns.
    records = list(read_many(iter([path]), None, ColumnChoice()))
    assert all(isinstance(record, Document | Refused) for record in records)


def test_standard_input_takes_a_bulk_export(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BufferedReader(io.BytesIO(EXPORT.read_bytes())))  # type: ignore[type-var]
    monkeypatch.setattr("sys.stdin", stream)
    assert sum(isinstance(record, Document) for record in read("-")) == 8
