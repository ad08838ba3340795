"""RTF, HTML, PDF and DOCX: the text that is stored is the text a reader would see."""

from __future__ import annotations

import io
import re
import sys
import zipfile
from pathlib import Path

import docx
import pypdf
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from reportlab.pdfgen.canvas import Canvas
from workshop import ROOT

from models.documents import Document, Refused
from models.errors import UsageError
from producer.sources.sources import open_sources

FORMATS = ROOT / "examples" / "formats"
RTF = rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 A;}} Temp 38.2 \'b0C.\par No\b  fever\b0.\tab x \u956?g\par}"


def read(path: Path) -> Document | Refused:
    (record,) = open_sources([path.parent]).records
    return record


def write_file(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def text(path: Path) -> str:
    record = read(path)
    assert isinstance(record, Document), record
    return record.text


def reason(path: Path) -> str:
    record = read(path)
    assert isinstance(record, Refused)
    return record.reason


def a_pdf(*pages: str | None, password: str | None = None) -> bytes:
    """A PDF with one page per text; None gives a page with an image only."""
    stream = io.BytesIO()
    canvas = Canvas(stream)
    for page in pages:
        for number, line in enumerate((page or "").splitlines()):
            canvas.drawString(72, 760 - 14 * number, line)
        if page is None:
            canvas.drawInlineImage(Image.new("L", (40, 40), 200), 72, 400, 300, 300)
        canvas.showPage()
    canvas.save()
    if password is None:
        return stream.getvalue()
    writer = pypdf.PdfWriter(clone_from=pypdf.PdfReader(stream))
    writer.encrypt(password)
    locked = io.BytesIO()
    writer.write(locked)
    return locked.getvalue()


def a_docx() -> docx.document.Document:
    document = docx.Document()
    document.add_heading("Discharge letter", 1)
    document.add_paragraph("Fever since\ttwo days.")
    table = document.add_table(1, 2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "Ramipril", "5 mg"
    document.add_paragraph("No cough.")
    document.sections[0].header.paragraphs[0].text = "Letterhead"
    return document


def saved(document: docx.document.Document) -> bytes:
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()


def test_rtf_has_its_characters_and_paragraphs(tmp_path: Path) -> None:
    assert text(write_file(tmp_path, "a.rtf", RTF)).strip() == "Temp 38.2 °C.\nNo fever.\tx μg"


def test_rtf_is_decoded_with_its_code_page(tmp_path: Path) -> None:
    cyrillic = rb"{\rtf1\ansi\ansicpg1251 \'cb\'e8\'f5\'ee\'f0\'e0\'e4\'ea\'e0\par}"
    assert text(write_file(tmp_path, "a.rtf", cyrillic)).strip() == "Лихорадка"


def test_html_is_laid_out_as_in_a_browser(tmp_path: Path) -> None:
    page = b"""<html><head><title>x</title><style>p {}</style></head><body><h1>Note</h1><p>No&nbsp;fever,
    10<sup>9</sup>.</p><script>bad()</script><ul><li>one<li>two</ul><ol><li>a</li></ol><pre>  kept
  as is</pre><div style="display: none">hidden</div><table><tr><th>K</th><td>4.1</td></tr></table>
    <p>was <s>given</s> stopped</p></body></html>"""
    assert text(write_file(tmp_path, "a.html", page)) == (
        "Note\n\nNo\xa0fever, 10^9.\n\n- one\n- two\n\n1. a\n\n  kept\n  as is\n\nK\t4.1\n\nwas stopped"
    )


@pytest.mark.parametrize(
    "page",
    [
        '<meta charset="iso-8859-1"><p>Übelkeit</p>'.encode("latin-1"),
        "<p>Übelkeit</p>".encode(),
        b"\xef\xbb\xbf" + "<p>Übelkeit</p>".encode(),
        '<?xml version="1.0" encoding="UTF-8"?><html><body><p>Übelkeit</p></body></html>'.encode(),
    ],
)
def test_html_is_decoded_with_its_declared_charset_or_utf8(tmp_path: Path, page: bytes) -> None:
    assert text(write_file(tmp_path, "a.htm", page)) == "Übelkeit"


def test_a_pdf_with_a_text_layer_gives_the_text_of_its_pages(tmp_path: Path) -> None:
    path = write_file(tmp_path, "a.pdf", a_pdf("First page\nwith two lines", "Second page"))
    record = read(path)
    assert isinstance(record, Document)
    assert record.text == "First page\nwith two lines\n\nSecond page"
    assert record.metadata == {"format": "pdf", "pages": 2}


def test_a_scanned_pdf_is_refused_with_the_reason(tmp_path: Path) -> None:
    assert reason(write_file(tmp_path, "a.pdf", a_pdf(None, None))).startswith("scanned PDF")


def test_a_pdf_page_without_text_is_counted(tmp_path: Path) -> None:
    record = read(write_file(tmp_path, "a.pdf", a_pdf("Text", None)))
    assert isinstance(record, Document)
    assert record.metadata["pages_without_text"] == 1


def test_an_encrypted_pdf_is_refused(tmp_path: Path) -> None:
    assert reason(write_file(tmp_path, "a.pdf", a_pdf("x", password="secret"))) == "encrypted PDF"


def test_docx_gives_paragraphs_and_tables_in_order_without_the_letterhead(tmp_path: Path) -> None:
    assert text(write_file(tmp_path, "a.docx", saved(a_docx()))) == (
        "Discharge letter\nFever since\ttwo days.\nRamipril\t5 mg\nNo cough."
    )


def test_docx_includes_tracked_insertions_and_omits_deletions(tmp_path: Path) -> None:
    content = saved(a_docx())
    xml = b'<w:ins w:id="1"><w:r><w:t>Now in. </w:t></w:r></w:ins>'
    xml += b'<w:del w:id="2"><w:r><w:delText>Out. </w:delText></w:r></w:del>'
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(tmp_path / "a.docx", "w") as new:
        for entry in old.infolist():
            body = old.read(entry)
            new.writestr(entry, body.replace(b"<w:r><w:t>No cough.", xml + b"<w:r><w:t>No cough."))
    assert text(tmp_path / "a.docx").endswith("\nNow in. No cough.")


@pytest.mark.parametrize("name", ["a.rtf", "a.pdf", "a.docx", "a.html"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str) -> None:
    expected = {"a.rtf": "no RTF", "a.pdf": "damaged PDF", "a.docx": "damaged DOCX", "a.html": "no text"}
    assert reason(write_file(tmp_path, name, b"")) == expected[name]


@pytest.mark.parametrize(("name", "content"), [("a.txt", RTF), ("b", b"%PDF-1.4 broken"), ("c.dat", RTF)])
def test_a_file_with_an_unclear_name_is_recognised_by_its_content(
    tmp_path: Path, name: str, content: bytes
) -> None:
    record = read(write_file(tmp_path, name, content))
    assert getattr(record, "reason", None) == ("damaged PDF" if name == "b" else None)


def test_a_zip_bomb_in_a_docx_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.docx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"\0" * (65 * 2**20))
    assert reason(tmp_path / "a.docx") == "longer than 64 MiB"


def test_a_missing_library_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdf", None)  # makes the import fail
    with pytest.raises(UsageError, match=re.escape("pip install 'notemill[formats]'")):
        open_sources([FORMATS / "report.pdf"])
    reasons = {record.reason for record in open_sources([FORMATS]).records if isinstance(record, Refused)}
    assert "PDF needs the extra `formats`" in reasons


BROKEN = [
    ("a.rtf", RTF),
    ("a.pdf", a_pdf("First page")),
    ("a.docx", saved(a_docx())),
    ("a.html", b"<p>a<b>c</p>"),
]


@given(which=st.sampled_from(BROKEN), cut=st.integers(0, 2000), junk=st.binary(max_size=8))
def test_a_broken_file_gives_a_reason_and_no_exception(
    tmp_path_factory: pytest.TempPathFactory, which: tuple[str, bytes], cut: int, junk: bytes
) -> None:
    (name, whole), folder = which, tmp_path_factory.getbasetemp() / which[0].replace(".", "_")
    folder.mkdir(exist_ok=True)
    assert isinstance(
        read(write_file(folder, name, whole[:cut] + junk + whole[cut + 2 :])), Document | Refused
    )
