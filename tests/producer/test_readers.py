"""Each reader with real files: the text is kept character for character."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.documents import Document, Refused
from producer.records.columns import ColumnChoice
from producer.sources.sources import open_sources

NOTES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1).filter(
    str.strip
)
ODD = "BP 140/90\r\nTemp 38 °C — “fever”\t\x0b\u2028 next\u200b 患者 🩺 e\u0301 \x85\r end \r\n"


def read(*sources: object, **columns: str) -> list[Document | Refused]:
    return list(open_sources(sources, ColumnChoice(**columns)).records)  # type: ignore[arg-type]


def documents(*sources: object, **columns: str) -> list[Document]:
    records = read(*sources, **columns)
    assert all(isinstance(record, Document) for record in records), records
    return [record for record in records if isinstance(record, Document)]


def write_csv(path: Path, rows: list[list[str]], **options: object) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, **options).writerows(rows)  # type: ignore[arg-type]
    return path


def write_jsonl(path: Path, records: list[object]) -> Path:
    path.write_bytes(b"".join(json.dumps(record).encode() + b"\n" for record in records))
    return path


def write_parquet(path: Path, columns: dict[str, object]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


@given(text=NOTES)
def test_text_files_round_trip(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "round.txt"
    path.write_bytes(text.encode())
    assert [document.text for document in documents(path)] == [text.removeprefix("\ufeff")] or not text.strip(
        "\ufeff"
    ).strip()


@given(texts=st.lists(NOTES, min_size=1, max_size=5), escaped=st.booleans())
def test_jsonl_round_trips(tmp_path_factory: pytest.TempPathFactory, texts: list[str], escaped: bool) -> None:
    path = tmp_path_factory.getbasetemp() / "round.jsonl"
    lines = [
        json.dumps({"id": str(number), "text": text}, ensure_ascii=escaped)
        for number, text in enumerate(texts)
    ]
    path.write_bytes("\n".join(lines).encode())
    assert [document.text for document in documents(path)] == texts


@given(texts=st.lists(NOTES, min_size=1, max_size=5), is_gzipped=st.booleans())
def test_csv_round_trips(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], is_gzipped: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "round.csv"
    rows = [["id", "text"], *([str(number), text] for number, text in enumerate(texts))]
    write_csv(path, rows, quoting=csv.QUOTE_ALL)
    if is_gzipped:
        path.write_bytes(gzip.compress(path.read_bytes(), 1))
    assert [document.text for document in documents(path)] == texts


@given(texts=st.lists(NOTES, min_size=1, max_size=5))
def test_parquet_round_trips(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = write_parquet(
        tmp_path_factory.getbasetemp() / "round.parquet", {"id": list(range(len(texts))), "text": texts}
    )
    assert [document.text for document in documents(path)] == texts


@pytest.mark.parametrize("ending", ["txt", "jsonl", "csv", "tsv", "parquet"])
def test_line_ends_and_odd_characters_are_kept(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"odd.{ending}"
    writers = {
        "txt": lambda: path.write_bytes(ODD.encode()),
        "jsonl": lambda: write_jsonl(path, [{"text": ODD}]),
        "csv": lambda: write_csv(path, [["id", "text"], ["1", ODD]]),
        "tsv": lambda: write_csv(path, [["id", "text"], ["1", ODD]], delimiter="\t"),
        "parquet": lambda: write_parquet(path, {"text": [ODD]}),
    }
    writers[ending]()
    assert [document.text for document in documents(path)] == [ODD]


@pytest.mark.parametrize("ending", ["txt", "jsonl", "csv", "tsv"])
def test_a_byte_order_mark_at_the_start_is_no_part_of_the_note(tmp_path: Path, ending: str) -> None:
    body = {
        "txt": "Note",
        "jsonl": '{"text": "Note"}',
        "csv": '"text",id\nNote,1\n',
        "tsv": "text\tid\nNote\t1\n",
    }
    path = tmp_path / f"bom.{ending}"
    path.write_bytes(b"\xef\xbb\xbf" + body[ending].encode())
    assert [document.text for document in documents(path)] == ["Note"]


@pytest.mark.parametrize("name", ["n.txt.gz", "n.txt", "n.TXT.GZ"])
def test_gzip_is_recognised_by_its_bytes(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(ODD.encode()))
    assert [document.text for document in documents(tmp_path / name)] == [ODD]


def test_a_gz_ending_on_a_plain_file_is_read_as_plain(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "n.jsonl.gz", [{"text": "plain"}])
    assert [document.text for document in documents(path)] == ["plain"]


def test_concatenated_gzip_files_are_read_to_the_end(tmp_path: Path) -> None:
    members = [gzip.compress(b'{"text": "one"}\n'), gzip.compress(b'{"text": "two"}\n')]
    (tmp_path / "n.jsonl.gz").write_bytes(b"".join(members))
    assert [document.text for document in documents(tmp_path / "n.jsonl.gz")] == ["one", "two"]


@pytest.mark.parametrize("ending", ["txt", "jsonl", "csv", "parquet"])
def test_a_note_of_200_kb_on_one_line_is_read_whole(tmp_path: Path, ending: str) -> None:
    text = "Patient is stable. " * 11_000
    path = tmp_path / f"long.{ending}"
    writers = {
        "txt": lambda: path.write_text(text),
        "jsonl": lambda: write_jsonl(path, [{"text": text}]),
        "csv": lambda: write_csv(path, [["id", "text"], ["1", text]]),
        "parquet": lambda: write_parquet(path, {"text": [text]}),
    }
    writers[ending]()
    assert [document.text for document in documents(path)] == [text]


def test_csv_notes_keep_their_lines_and_quotes(tmp_path: Path) -> None:
    note = 'He said "no pain",\r\nthen slept.\n\n5\'6" tall'
    path = write_csv(tmp_path / "n.csv", [["id", "text"], ["1", note], ["2", "next"]])
    assert [document.text for document in documents(path)] == [note, "next"]


def test_a_csv_with_a_semicolon_header_is_split_at_semicolons(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "n.csv", [["id", "text"], ["1", "a, b"]], delimiter=";")
    assert [(document.external_id, document.text) for document in documents(path)] == [("1", "a, b")]


def test_csv_columns_without_a_name_or_with_a_shared_one_are_all_kept(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "n.csv", [["", "text", "x", "x"], ["0", "note", "a", "b"]])
    assert documents(path)[0].metadata == {"column_1": "0", "x": "a", "x.2": "b"}


def test_blank_lines_between_records_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "n.jsonl").write_bytes(b'\n{"id": 1, "text": "a"}\r\n  \n{"id": 2, "text": "b"}')
    (tmp_path / "n.csv").write_bytes(b"id,text\r\n\r\n3,c\r\n\r\n")
    notes = documents(tmp_path / "n.jsonl", tmp_path / "n.csv")
    assert [(note.external_id, note.text) for note in notes] == [("1", "a"), ("2", "b"), ("3", "c")]


def test_mimic_iv_notes_are_read_unchanged(tmp_path: Path) -> None:
    header = ["note_id", "subject_id", "hadm_id", "note_type", "note_seq", "charttime", "storetime", "text"]
    row = [
        "10000032-DS-21",
        "10000032",
        "22595853",
        "DS",
        "21",
        "2180-05-07 00:00:00",
        "",
        " \nName:  ___ \n",
    ]
    write_csv(tmp_path / "discharge.csv", [header, row])
    packed = tmp_path / "discharge.csv.gz"
    packed.write_bytes(gzip.compress((tmp_path / "discharge.csv").read_bytes()))
    note = documents(packed)[0]
    assert (note.external_id, note.text, note.source) == (row[0], row[-1], str(packed))
    assert note.metadata == dict(zip(header[1:-1], row[1:-1], strict=True))


def test_objects_of_one_jsonl_file_may_have_different_keys(tmp_path: Path) -> None:
    records = [{"id": "a", "text": "one"}, {"note_id": "b", "Note": "two"}, {"text": "three", "ward": "C"}]
    notes = documents(write_jsonl(tmp_path / "n.jsonl", list(records)))
    assert [(note.external_id, note.text) for note in notes] == [
        ("a", "one"),
        ("b", "two"),
        ("n.jsonl:3", "three"),
    ]


def test_standard_input_is_jsonl_if_it_starts_with_an_object_and_else_one_note() -> None:
    from producer.sources.standard_input import StandardInput, read_standard_input

    def given(content: bytes, form: object = None) -> list[tuple[str, str]]:
        stream = io.BytesIO(content)
        records = read_standard_input(StandardInput(form), ColumnChoice(), stream)  # type: ignore[arg-type]
        return [(record.external_id, record.text) for record in records if isinstance(record, Document)]

    assert given(b' \n{"id": 1, "text": "a"}\n{"text": "b"}\n') == [("1", "a"), ("stdin:3", "b")]
    assert given(gzip.compress(b'{"id": 1, "text": "a"}')) == [("1", "a")]
    assert given(b"Note {1}\r\n") == [("stdin", "Note {1}\r\n")]
    assert given(b'{"not": "jsonl"}', "text") == [("stdin", '{"not": "jsonl"}')]


def test_a_pipe_that_gives_one_byte_at_a_time_is_read() -> None:
    from producer.sources.standard_input import StandardInput, read_standard_input

    class Dripping(io.RawIOBase):
        content = io.BytesIO(gzip.compress(b' \n\n {"id": "x", "text": "slow"}'))

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
            return self.content.readinto(memoryview(buffer)[:1])

    stream = io.BufferedReader(Dripping(), buffer_size=1)
    records = list(read_standard_input(StandardInput(), ColumnChoice(), stream))  # type: ignore[arg-type]
    assert [record.text for record in records if isinstance(record, Document)] == ["slow"]
