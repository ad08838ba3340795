"""C-CDA: the signed narrative, section by section, each after its title."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workshop import ROOT

from models.documents import Document, Refused
from producer.sources.sources import open_sources

CCD = ROOT / "examples" / "formats" / "ccd.xml"
HEAD = '<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:sdtc="urn:hl7-org:sdtc"><id root="1.2" extension="a"/>'
SECTION = (
    "<component><structuredBody><component><section>{}</section></component></structuredBody></component>"
)


def read(folder: Path, content: str | bytes) -> Document | Refused:
    path = folder / "note.xml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (record,) = open_sources([folder]).records
    return record


def narrative(folder: Path, inner: str) -> str:
    record = read(folder, HEAD + SECTION.format(f"<text>{inner}</text>") + "</ClinicalDocument>")
    assert isinstance(record, Document), record
    return record.text


def reason(folder: Path, content: str | bytes) -> str:
    record = read(folder, content)
    assert isinstance(record, Refused)
    return record.reason


def test_sections_consist_of_title_and_narrative() -> None:
    (note,) = open_sources([CCD]).records
    assert isinstance(note, Document)
    assert note.text.startswith(
        "History of present illness\n"
        "72-year-old woman with fever and flank pain since two days. No nausea.\n\n"
        "Leukocytes 14.2 × 10^9/L.\nCRP 180 mg/L.\n\n"
        "Discharge medications\nMedication\tDose\tFrequency\nCiprofloxacin\t500 mg PO\t"
    )
    assert "\n\nConsultations\nUrology: no obstruction.\n\nAllergies\n" in note.text


def test_the_header_becomes_metadata_of_the_note() -> None:
    (note,) = open_sources([CCD]).records
    assert isinstance(note, Document)
    assert note.metadata == {
        "format": "c-cda",
        "patient": "700555",
        "encounter": "V-90099",
        "type": "18842-5",
        "type_system": "http://loinc.org",
        "type_name": "Discharge summary",
        "title": "Discharge Summary (synthetic)",
        "date": "2026-01-20T14:30:00+01:00",
        "version": "000002 2026-01-20T13:30:00",
        "media_type": "application/hl7-cda+xml",
    }


def test_all_versions_of_a_document_share_the_set_id() -> None:
    (note,) = open_sources([CCD]).records
    assert isinstance(note, Document)
    assert note.external_id == "2.16.840.1.113883.19.5^ds-4711"
    assert note.replaces == ("2.16.840.1.113883.19.5^ds-4711-1",)


@pytest.mark.parametrize(
    ("inner", "text"),
    [
        ("a <content>b</content>\n  c", "a b c"),
        ("<paragraph>a</paragraph>tail<paragraph>b</paragraph>", "a\n\ntail\n\nb"),
        ("<list><item>a</item><item>b<list><item>c</item></list></item></list>", "- a\n- b\n\n- c"),
        ("<list><caption>x</caption><item>a</item></list>", "x\n- a"),
        (
            "<table><tr><td/><td>b</td></tr><tr><td><paragraph>c</paragraph></td><td>d</td></tr></table>",
            "\tb\nc\td",
        ),
        ("a<br/><br/>b", "a\n\nb"),
        ("H<sub>2</sub>O, 10<sup>9</sup>", "H2O, 10^9"),
        ('a<renderMultiMedia referencedObject="x"/>b', "ab"),
        ("was <content revised='delete'>not</content> given", "was given"),
        ("a<!-- comment -->b<?pi?>c", "abc"),
    ],
)
def test_narrative_markup_becomes_plain_text(tmp_path: Path, inner: str, text: str) -> None:
    assert narrative(tmp_path, inner) == text


def test_a_document_with_a_non_xml_body_is_read_by_its_media_type(tmp_path: Path) -> None:
    data = base64.b64encode(rb"{\rtf1 Fever.\par}").decode()
    text = f'<text mediaType="text/rtf" representation="B64">{data}</text>'
    body = f"<component><nonXMLBody>{text}</nonXMLBody></component></ClinicalDocument>"
    record = read(tmp_path, HEAD + body)
    assert isinstance(record, Document)
    assert record.text.strip() == "Fever."


def test_a_nullified_document_is_refused(tmp_path: Path) -> None:
    nullified = (
        HEAD
        + '<sdtc:statusCode code="nullified"/>'
        + SECTION.format("<text>x</text>")
        + "</ClinicalDocument>"
    )
    assert reason(tmp_path, nullified) == "entered in error"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("<ClinicalDocument", "malformed XML"),
        ("<note>x</note>", "XML that is no ClinicalDocument"),
        (HEAD + "</ClinicalDocument>", "no narrative in any section"),
        ("", "malformed XML"),
    ],
)
def test_a_flaw_is_the_reason_of_the_refusal(tmp_path: Path, content: str, expected: str) -> None:
    assert reason(tmp_path, content) == expected


def test_an_external_entity_reads_no_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary")
    doctype = f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{tmp_path}/secret"><!ENTITY b "bomb">]>'
    inner = HEAD + SECTION.format("<text>a &e; &b; z</text>") + "</ClinicalDocument>"
    (tmp_path / "notes").mkdir()
    record = read(tmp_path / "notes", doctype + inner)
    assert "canary" not in str(record)


@given(cut=st.integers(0, 5000), junk=st.binary(max_size=8))
def test_a_broken_file_gives_a_reason_and_no_exception(
    tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp() / "ccd"
    folder.mkdir(exist_ok=True)
    whole = CCD.read_bytes()
    assert isinstance(read(folder, whole[:cut] + junk + whole[cut + 2 :]), Document | Refused)
