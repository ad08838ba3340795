"""A bad record is refused with its line and reason; the good records around it are read."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.documents import Document, Refused
from producer.records import byte_streams
from producer.records.columns import ColumnChoice, SourceError
from producer.sources.sources import open_sources
from producer.sources.standard_input import StandardInput, read_standard_input


def outcome(path: Path) -> list[str | tuple[int | None, str]]:
    """Returns for each record its text, or the line and reason of the refusal."""
    return [
        record.text if isinstance(record, Document) else (record.line, record.reason)
        for record in open_sources([path]).records
    ]


def jsonl(folder: Path, bad: bytes) -> Path:
    path = folder / "n.jsonl"
    path.write_bytes(b'{"id": 1, "text": "before"}\n' + bad + b'\n{"id": 3, "text": "after"}\n')
    return path


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"id": 2, "text": ""}', "no text"),
        (b'{"id": 2, "text": " \\n\\u00a0"}', "no text"),
        (b'{"id": 2, "text": null}', "no text"),
        (b'{"id": 2, "text": NaN}', "no text"),
        (b'{"id": 2}', "no text"),
        (b"{}", "no text"),
        (b'{"id": 2, "text": 5}', "text is not a string"),
        (b'{"id": 2, "text": ["a"]}', "text is not a string"),
        (b'{"id": 2, "text": "caf\xe9"}', "invalid UTF-8"),
        (b'{"id": 2, "text": "a\xed\xa0\x80"}', "invalid UTF-8"),
        (b'{"id": 2, "text": "a\\ud800"}', "invalid Unicode"),
        (b'{"id": "\\ud800", "text": "a"}', "invalid Unicode"),
        (b'{"id": 2, "text": "a", "ward": "\\ud800"}', "invalid Unicode"),
        (b'{"id": 2, "text": "a\\u0000"}', "a NUL character"),
        (b'{"id": 2, "text": "a\x00"}', "a NUL character"),
        (b'{"id": 2, "text": "a", "ward": "\\u0000"}', "a NUL character"),
        (b'{"id": 2, "text": "a"', "malformed JSON"),
        (b'{"id": 2, "text": "a"} x', "malformed JSON"),
        (b'{"a":' * 5_000, "malformed JSON"),
        (b'{"id": ' + b"9" * 5_000 + b', "text": "a"}', "malformed JSON"),
        (b'["a"]', "not an object"),
        (b'"a"', "not an object"),
        (b'{"id": true, "text": "a"}', "id is not a string or a whole number"),
        (b'{"id": {"x": 1}, "text": "a"}', "id is not a string or a whole number"),
        (b'{"id": "' + b"x" * 501 + b'", "text": "a"}', "id longer than 500 characters"),
        (b'{"id": 2, "text": "a", "deep": ' + b"[" * 60 + b"]" * 60 + b"}", "nested too deeply"),
    ],
)
def test_only_the_bad_line_of_a_jsonl_file_is_refused(tmp_path: Path, bad: bytes, reason: str) -> None:
    assert outcome(jsonl(tmp_path, bad)) == ["before", (2, reason), "after"]


def test_a_line_that_is_too_long_is_refused_without_being_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(byte_streams.Lines.__init__, "__defaults__", (2**20,))
    path = jsonl(tmp_path, b'{"id": 2, "text": "' + b"x" * 3 * 2**20 + b'"}')
    assert outcome(path) == ["before", (2, "longer than 1 MiB"), "after"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"2,", "no text"),
        (b'2," \n"', "no text"),
        (b"2", "row has 1 fields where the header has 2"),
        (b"2,a,b", "row has 3 fields where the header has 2"),
        (b"2,caf\xe9", "invalid UTF-8"),
        (b"2,a\x00b", "a NUL character"),
        (b'2,"a" b', "malformed row"),
        (b'2,"a "quoted" b"', "malformed row"),
    ],
)
def test_only_the_bad_row_of_a_csv_file_is_refused(tmp_path: Path, bad: bytes, reason: str) -> None:
    path = tmp_path / "n.csv"
    path.write_bytes(b'id,text\n1,"be\nfore"\n' + bad + b'\n3,"after"\n')
    assert outcome(path) == ["be\nfore", (4, reason), "after"]


def test_rows_are_counted_in_physical_lines(tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_bytes(b'id,text\r\n1,"a\r\nb\r\nc"\r\n\r\n2,\r\n"3","x\ny"\r\n4,\r\n')
    assert outcome(tmp_path / "n.csv") == ["a\r\nb\r\nc", (6, "no text"), "x\ny", (9, "no text")]


def test_lines_of_a_note_after_an_unmatched_quote_become_no_documents(tmp_path: Path) -> None:
    rows = b'id,text\n1,"Height 5\'6" tall\nMeds: aspirin, 5 mg\nend"\n2,"good"\n3,good too\n'
    (tmp_path / "n.csv").write_bytes(rows)
    refused = [(2, "malformed row"), (3, "after a malformed row"), (4, "after a malformed row")]
    assert outcome(tmp_path / "n.csv") == [*refused, "good", "good too"]


def test_an_unclosed_quote_is_refused_with_the_lines_it_spans(tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_bytes(b'id,text\n1,ok\n2,"open\n3,lost\n4,lost\n')
    assert outcome(tmp_path / "n.csv") == ["ok", (3, "malformed row (to line 5)")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no text"),
        (b" \r\n\t", "no text"),
        (b"\xef\xbb\xbf", "no text"),
        (b"caf\xe9", "invalid UTF-8"),
        ("utf-16".encode("utf-16"), "invalid UTF-8"),
        (b"a\x00b", "a NUL character"),
        (gzip.compress(b"whole note" * 99, mtime=0)[:-20], "truncated or damaged gzip"),
    ],
)
def test_a_bad_text_file_is_refused_as_a_whole(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "n.txt").write_bytes(content)
    assert outcome(tmp_path / "n.txt") == [(None, reason)]


def test_a_text_file_that_is_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_streams.read_whole, "__defaults__", (2**20,))
    (tmp_path / "n.txt").write_bytes(b"x" * (2**20 + 1))
    assert outcome(tmp_path / "n.txt") == [(None, "longer than 1 MiB")]


@pytest.mark.parametrize("name", ["n.jsonl.gz", "n.csv.gz"])
def test_complete_records_of_a_truncated_gzip_file_are_kept(tmp_path: Path, name: str) -> None:
    lines = [b"id,text"] if name == "n.csv.gz" else []
    form = b'{"id": %d, "text": "%s"}' if name == "n.jsonl.gz" else b'%d,"%s"'
    lines += [form % (number, bytes(f"note {number * number}", "ascii")) for number in range(9_000)]
    packed = gzip.compress(b"\n".join(lines))
    (tmp_path / name).write_bytes(packed[: len(packed) // 2])
    *kept, last = outcome(tmp_path / name)
    assert kept == [f"note {number * number}" for number in range(len(kept))]
    assert len(kept) > 1_000
    assert last == (len(kept) + 1 + (name == "n.csv.gz"), "truncated or damaged gzip")


def test_only_the_parquet_row_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    raw = pa.array([b"before", b"caf\xe9", b"after", None], pa.binary())
    pq.write_table(pa.table({"text": raw.view(pa.string())}), tmp_path / "n.parquet")
    assert outcome(tmp_path / "n.parquet") == ["before", (2, "invalid UTF-8"), "after", (4, "no text")]


def test_damage_in_a_parquet_file_refuses_only_its_row_group(tmp_path: Path) -> None:
    path = tmp_path / "n.parquet"
    texts = [f"note {number:0200d}" for number in range(600)]
    pq.write_table(pa.table({"text": texts}), path, row_group_size=100, compression="gzip")
    offset = pq.ParquetFile(path).metadata.row_group(3).column(0).data_page_offset
    content = bytearray(path.read_bytes())
    content[offset : offset + 60] = b"\xff" * 60
    path.write_bytes(content)
    assert outcome(path) == [*texts[:300], (301, "damaged Parquet (to row 400)"), *texts[400:]]


def test_bytes_in_a_column_refuse_the_record(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"], "scan": [b"\x89PNG"]}), tmp_path / "n.parquet")
    assert outcome(tmp_path / "n.parquet") == [(1, "bytes in a column")]


def test_bytes_as_text_are_no_string(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [b"a note"]}), tmp_path / "n.parquet")
    assert outcome(tmp_path / "n.parquet") == [(1, "text is not a string")]


def test_a_refusal_names_the_record_and_holds_no_text(tmp_path: Path) -> None:
    path = jsonl(tmp_path, b'{"id": "n-2", "text": "canary-4711\\u0000"}')
    refused = [record for record in open_sources([path]).records if isinstance(record, Refused)]
    assert refused == [Refused(source=str(path), line=2, external_id="n-2", reason="a NUL character")]


def piped(content: bytes) -> list[str | tuple[int | None, str]]:
    records = read_standard_input(StandardInput(), ColumnChoice(), io.BytesIO(content))
    return [
        record.text if isinstance(record, Document) else (record.line, record.reason) for record in records
    ]


def test_complete_records_of_a_truncated_gzip_stream_are_kept() -> None:
    lines = [b'{"id": %d, "text": "note %d"}' % (number, number * number) for number in range(9_000)]
    packed = gzip.compress(b"\n".join(lines))
    *kept, last = piped(packed[: len(packed) // 2])
    assert len(kept) > 4_000
    assert last == (len(kept) + 1, "truncated or damaged gzip")


def test_a_standard_input_that_is_broken_from_the_start_is_refused() -> None:
    assert piped(gzip.compress(b"note", mtime=0)[:12]) == [(None, "truncated or damaged gzip")]
    assert piped(b"") == [(None, "no text")]


def test_a_file_that_vanishes_before_it_is_read_is_refused(tmp_path: Path) -> None:
    for name in ["a.txt", "b.txt", "c.jsonl", "d.csv"]:
        (tmp_path / name).write_text("note")
    records = open_sources([tmp_path]).records
    first = next(records)
    for name in ["b.txt", "c.jsonl", "d.csv"]:
        (tmp_path / name).unlink()
    assert isinstance(first, Document)
    assert {record.reason for record in records if isinstance(record, Refused)} == {
        "cannot be read: No such file or directory"
    }


def test_a_jsonl_file_of_bad_lines_only_is_refused_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "n.jsonl").write_text("oops\n" * 150)
    assert outcome(tmp_path / "n.jsonl") == [(number, "malformed JSON") for number in range(1, 151)]


def test_a_hundred_objects_without_a_text_column_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "n.jsonl").write_text('{"a": 1}\n' * 100 + '{"text": "too late"}\n')
    with pytest.raises(SourceError, match="Its columns: a"):
        open_sources([tmp_path / "n.jsonl"])
