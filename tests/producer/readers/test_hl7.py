"""HL7 v2: documents of MDM messages and reports of ORU messages, as feeds and files have them."""

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
    (found,) = read(message(*segments, **options))
    assert isinstance(found, Document), found
    return found.text


def told(name: str) -> list[tuple[str | None, str]]:
    records = open_sources([FORMATS / name]).records
    return [(one.external_id, getattr(one, "reason", "taken")) for one in records]


def test_mdm_messages_are_documents_or_say_why_not() -> None:
    assert told("mdm.hl7") == [
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


def test_oru_messages_are_a_report_an_order_and_laboratory_values_are_none() -> None:
    assert told("oru.hl7") == [
        ("ACC-5501", "taken"),
        ("LAB-11", "no text among the results"),
        ("LAB-12", "taken"),
        ("LAB-13", "cancelled"),
    ]


def test_what_a_message_says_of_its_note_is_kept_with_it() -> None:
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
    notes = [one for one in open_sources([FORMATS / "mdm.hl7"]).records if isinstance(one, Document)]
    first, edited = (one for one in notes if one.external_id == "DOC-1001")
    assert first.version < edited.version
    assert [one.replaces for one in notes if one.external_id == "DOC-1006"] == [("DOC-1005",)]


def test_segments_and_repetitions_are_lines_and_escapes_are_resolved() -> None:
    text = text_of(
        "OBX|1|TX|||A \\T\\ B\\.br\\C \\F\\ D~  E\\.sp+2\\F", "OBX|2|FT|||\\H\\bold\\N\\ \\XC2B5\\g \\R\\"
    )
    assert text == "A & B\nC | D\n  E\n\nF\nbold µg ~"


def test_a_backslash_that_begins_no_escape_stays_as_it_is() -> None:
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


def test_results_that_were_deleted_or_wrong_are_not_read() -> None:
    assert (
        text_of("OBX|1|TX|||Right||||||F", "OBX|2|TX|||Wrong||||||W", "OBX|3|TX|||Deleted||||||D") == "Right"
    )


def test_an_encapsulated_document_is_rendered_by_what_it_is() -> None:
    rtf = base64.b64encode(rb"{\rtf1\ansi Fever \'b5g.\par}").decode()
    html = base64.b64encode(b"<html><body><p>One</p><p>Two</p></body></html>").decode()
    assert text_of(f"OBX|1|ED|||^application^rtf^Base64^{rtf}").strip() == "Fever µg."
    assert text_of(f"OBX|1|ED|||^text^html^Base64^{html}") == "One\n\nTwo"


def test_an_attachment_that_cannot_be_read_is_the_reason_unless_there_is_text_beside_it() -> None:
    broken = "OBX|1|ED|||^application^pdf^Base64^@@@"
    (refused,) = read(message(broken))
    assert isinstance(refused, Refused)
    assert refused.reason == "malformed base64"
    assert text_of(broken, "OBX|2|TX|||See attached.") == "See attached."


def test_a_framed_feed_without_an_ending_that_says_so_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "feed.txt").write_bytes(
        b"\x0b" + message("OBX|1|TX|||One") + b"\x1c\r\x0b" + message("OBX|1|TX|||Two")
    )
    notes = list(open_sources([tmp_path]).records)
    assert [one.text for one in notes if isinstance(one, Document)] == ["One", "Two"]


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


def test_time_stamps_of_two_zones_sort_as_they_followed_each_other() -> None:
    assert sortable("20260102030405+0100") < sortable("20260102030405+0000")


@given(cut=st.integers(0, 1500), junk=st.binary(max_size=12))
def test_a_broken_feed_gives_reasons_and_no_surprise(cut: int, junk: bytes) -> None:
    whole = (FORMATS / "mdm.hl7").read_bytes()
    assert all(isinstance(one, Document | Refused) for one in read(whole[:cut] + junk + whole[cut + 3 :]))


@given(
    text=st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="|^~\\&\x85\u2028\u2029"))
)
def test_text_without_separators_comes_out_as_it_went_in(text: str) -> None:
    (found,) = read(message(f"OBX|1|TX|||x{text}x"))
    assert isinstance(found, Document)
    assert found.text == f"x{text}x"
