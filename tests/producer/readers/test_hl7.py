"""HL7 v2: documents in MDM messages and reports in ORU messages, from feeds and files."""

from __future__ import annotations

import base64
import io
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workshop import ROOT

from models.documents import Document, Refused
from producer.readers.hl7_notes import read_hl7
from producer.readers.hl7_time import iso_time, sortable
from producer.records.records import Origin
from producer.sources.sources import open_sources

FORMATS = ROOT / "examples" / "formats"
ORIGIN = Origin(source="feed", name="feed")
MSH = "MSH|^~\\&|A|B|C|D|20260102030405||MDM^T02|M1|P|2.5.1|||||DEU|{charset}"
TXA = "TXA|1|DS^Summary|TX|||||||||D-1|||||AU"


def read(content: bytes) -> list[Document | Refused]:
    return list(read_hl7(io.BufferedReader(io.BytesIO(content)), ORIGIN))  # type: ignore[arg-type]


def message(*segments: str, charset: str = "UNICODE UTF-8", end: str = "\r") -> bytes:
    text = end.join([MSH.format(charset=charset), TXA, *segments]) + end
    return text.encode("latin-1" if charset == "8859/1" else "utf-8")


def text_of(*segments: str, **options: str) -> str:
    (record,) = read(message(*segments, **options))
    assert isinstance(record, Document), record
    return record.text


def outcomes(name: str) -> list[tuple[str | None, str]]:
    records = open_sources([FORMATS / name]).records
    return [(record.external_id, getattr(record, "reason", "taken")) for record in records]


def test_mdm_messages_give_documents_or_reasons() -> None:
    assert outcomes("mdm.hl7") == [
        ("DOC-1001", "taken"),
        ("DOC-1002", "not completed"),
        ("DOC-1003", "a notification without the document"),
        ("DOC-1001", "taken"),
        ("DOC-1005", "taken"),
        ("DOC-1006", "taken"),
        ("DOC-1007", "taken"),
        ("DOC-1007", "cancelled"),
        (None, "no note: ADT message"),
    ]


def test_oru_messages_give_one_report_per_order_and_laboratory_values_give_none() -> None:
    assert outcomes("oru.hl7") == [
        ("ACC-5501", "taken"),
        ("LAB-11", "no text among the results"),
        ("LAB-12", "taken"),
        ("LAB-13", "cancelled"),
    ]


def test_the_message_becomes_metadata_of_the_note() -> None:
    note = next(iter(open_sources([FORMATS / "mdm.hl7"]).records))
    assert isinstance(note, Document)
    assert note.metadata == {
        "format": "hl7v2",
        "patient": "700123",
        "encounter": "V-90017",
        "type": "18842-5",
        "type_system": "http://loinc.org",
        "type_name": "Discharge summary",
        "title": "Discharge summary",
        "date": "2026-01-14T16:00:00",
        "status": "authenticated",
        "version": "2026-01-14T15:05:00",
    }


def test_an_edit_is_a_later_version_and_a_replacement_names_what_it_replaces() -> None:
    notes = [note for note in open_sources([FORMATS / "mdm.hl7"]).records if isinstance(note, Document)]
    first, edited = (note for note in notes if note.external_id == "DOC-1001")
    assert first.version < edited.version
    assert [note.replaces for note in notes if note.external_id == "DOC-1006"] == [("DOC-1005",)]


def test_segments_and_repetitions_are_lines_and_escapes_are_resolved() -> None:
    text = text_of(
        "OBX|1|TX|||A \\T\\ B\\.br\\C \\F\\ D~  E\\.sp+2\\F", "OBX|2|FT|||\\H\\bold\\N\\ \\XC2B5\\g \\R\\"
    )
    assert text == "A & B\nC | D\n  E\n\nF\nbold µg ~"


def test_a_backslash_that_begins_no_escape_is_kept() -> None:
    assert text_of("OBX|1|TX|||see C:\\scans\\x and 5\\6 \\Zabc\\") == "see C:\\scans\\x and 5\\6 \\Zabc\\"


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_a_line_end_that_the_sender_forgot_to_escape_is_part_of_the_text(end: str) -> None:
    assert text_of("OBX|1|TX|||First", "second|third", "OBX|2|TX|||Last", end=end) == "First\nsecond\nLast"


def test_text_is_read_in_the_charset_of_the_message() -> None:
    assert text_of("OBX|1|TX|||Übelkeit", charset="8859/1") == "Übelkeit"
    assert text_of("OBX|1|TX|||Übelkeit", charset="") == "Übelkeit"
    (refused,) = read(message("OBX|1|TX|||x", charset="KLINGON"))
    assert isinstance(refused, Refused)
    assert refused.reason == "unknown charset"


def test_deleted_and_wrong_results_are_skipped() -> None:
    assert (
        text_of("OBX|1|TX|||Right||||||F", "OBX|2|TX|||Wrong||||||W", "OBX|3|TX|||Deleted||||||D") == "Right"
    )


def test_an_encapsulated_document_is_read_by_its_media_type() -> None:
    rtf = base64.b64encode(rb"{\rtf1\ansi Fever \'b5g.\par}").decode()
    html = base64.b64encode(b"<html><body><p>One</p><p>Two</p></body></html>").decode()
    assert text_of(f"OBX|1|ED|||^application^rtf^Base64^{rtf}").strip() == "Fever µg."
    assert text_of(f"OBX|1|ED|||^text^html^Base64^{html}") == "One\n\nTwo"


def test_an_unreadable_attachment_refuses_the_message_unless_it_has_other_text() -> None:
    broken = "OBX|1|ED|||^application^pdf^Base64^@@@"
    (refused,) = read(message(broken))
    assert isinstance(refused, Refused)
    assert refused.reason == "malformed base64"
    assert text_of(broken, "OBX|2|TX|||See attached.") == "See attached."


def test_a_framed_feed_is_recognised_without_an_hl7_file_ending(tmp_path: Path) -> None:
    (tmp_path / "feed.txt").write_bytes(
        b"\x0b" + message("OBX|1|TX|||One") + b"\x1c\r\x0b" + message("OBX|1|TX|||Two")
    )
    notes = list(open_sources([tmp_path]).records)
    assert [note.text for note in notes if isinstance(note, Document)] == ["One", "Two"]


def test_nothing_of_a_note_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        text_of("OBX|1|TX|||canary \\Q9\\ \\XZZ\\ \\C2842\\ \\.brx\\ canary")
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    ("stamp", "iso"),
    [
        ("2026", "2026"),
        ("20260102", "2026-01-02"),
        ("202601020304", "2026-01-02T03:04:00"),
        ("20260102030405.1234+0100", "2026-01-02T03:04:05+01:00"),
        ("20261302030405", ""),
        ("yesterday", ""),
    ],
)
def test_time_stamps_are_iso(stamp: str, iso: str) -> None:
    assert iso_time(stamp) == iso


def test_time_stamps_of_two_zones_sort_by_time() -> None:
    assert sortable("20260102030405+0100") < sortable("20260102030405+0000")


@given(cut=st.integers(0, 1500), junk=st.binary(max_size=12))
def test_a_broken_feed_gives_reasons_and_no_exception(cut: int, junk: bytes) -> None:
    whole = (FORMATS / "mdm.hl7").read_bytes()
    assert all(
        isinstance(record, Document | Refused) for record in read(whole[:cut] + junk + whole[cut + 3 :])
    )


@given(
    text=st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="|^~\\&\x85\u2028\u2029"))
)
def test_text_without_separators_round_trips(text: str) -> None:
    (record,) = read(message(f"OBX|1|TX|||x{text}x"))
    assert isinstance(record, Document)
    assert record.text == f"x{text}x"
