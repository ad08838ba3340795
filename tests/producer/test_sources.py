"""Sources: files, folders and globs, the ids of their notes, column choice, and errors."""

from __future__ import annotations

import datetime
import decimal
import gzip
import json
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.documents import Document, Refused
from models.errors import UsageError
from producer.records.columns import ColumnChoice
from producer.sources.sources import open_sources
from producer.sources.sql_query import SqlQuery
from producer.sources.standard_input import StandardInput


def names(*sources: object) -> list[str | None]:
    return [record.external_id for record in open_sources(sources).records]  # type: ignore[arg-type]


def error_message(*sources: object, **columns: str) -> str:
    with pytest.raises(UsageError) as raised:
        open_sources(sources, ColumnChoice(**columns))  # type: ignore[arg-type]
    return str(raised.value)


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder `archive/` with notes in two subfolders; the current folder is its parent."""
    folder = tmp_path / "archive"
    for path in ["2023/b.txt", "2023/a.txt", "2024/a.txt", "c.txt.gz"]:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(f"note {path}")
    (folder / ".hidden.txt").write_text("hidden")
    (folder / "run-1.rejects.jsonl").write_text('{"text": "not a note"}')
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_folder_gives_every_note_below_it_with_its_relative_path_as_id(archive: Path) -> None:
    assert names("archive") == ["c.txt.gz", "2023/a.txt", "2023/b.txt", "2024/a.txt"]


def test_a_glob_gives_ids_relative_to_its_fixed_part(archive: Path) -> None:
    assert names("archive/*/a.txt") == ["2023/a.txt", "2024/a.txt"]
    assert names("archive/**/*.txt") == ["2023/a.txt", "2023/b.txt", "2024/a.txt"]
    assert names(str(archive / "20*")) == ["2023/a.txt", "2023/b.txt", "2024/a.txt"]


def test_the_id_of_a_file_is_its_name(archive: Path) -> None:
    assert names(archive / "2023" / "a.txt", archive / "2023" / "b.txt") == ["a.txt", "b.txt"]


def test_files_with_the_same_name_have_their_paths_as_ids(archive: Path) -> None:
    assert names("archive/2023/a.txt", "archive/2024/a.txt") == ["archive/2023/a.txt", "archive/2024/a.txt"]
    assert names("archive/2023", "archive/2024")[::2] == ["archive/2023/a.txt", "archive/2024/a.txt"]


def test_a_file_with_an_unknown_ending_is_refused_and_not_skipped(archive: Path) -> None:
    (archive / "scan.tif").write_bytes(b"II*")
    refused = [record for record in open_sources(["archive"]).records if isinstance(record, Refused)]
    assert refused == [Refused(source="archive/scan.tif", reason="unknown file ending")]


def test_a_table_without_a_text_column_is_refused_and_other_files_are_read(archive: Path) -> None:
    (archive / "2023" / "patients.csv").write_text("subject_id,gender\n1,F\n")
    (archive / "2023" / "broken.parquet").write_text("no parquet")
    (archive / "2023" / "empty.csv").write_text("")
    records = {record.source: record for record in open_sources(["archive/2023"]).records}
    assert [record.reason for record in records.values() if isinstance(record, Refused)] == [
        "damaged Parquet",
        "no header",
        "no text column",
    ]
    assert sum(isinstance(record, Document) for record in records.values()) == 2


def test_a_file_name_that_is_not_utf8_shows_its_byte_in_the_id(tmp_path: Path) -> None:
    path = tmp_path / b"caf\xe9.txt".decode("utf-8", "surrogateescape")
    path.write_text("note")
    assert names(tmp_path) == ["caf\\xe9.txt"]


def test_a_document_names_its_source_path_and_line(archive: Path) -> None:
    Path("n.csv").write_text("id,text\n1,a\n2,b\n")
    documents = [
        document
        for document in open_sources(["n.csv", "archive/2024"]).records
        if isinstance(document, Document)
    ]
    assert [(document.source, document.line) for document in documents] == [
        ("n.csv", 2),
        ("n.csv", 3),
        ("archive/2024/a.txt", None),
    ]


def test_records_without_an_id_are_named_by_source_and_line(tmp_path: Path) -> None:
    (tmp_path / "n.jsonl").write_text('{"text": "a"}\n\n{"text": "b", "id": ""}\n{"text": "c", "id": null}\n')
    assert names(tmp_path / "n.jsonl") == ["n.jsonl:1", "n.jsonl:3", "n.jsonl:4"]


def test_a_named_id_column_must_have_ids(tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_text("mrn,text\n,a\n7,b\n")
    records = list(open_sources([tmp_path / "n.csv"], ColumnChoice(id_column="MRN")).records)
    assert [(record.external_id, getattr(record, "reason", None)) for record in records] == [
        (None, "no id"),
        ("7", None),
    ]


@pytest.mark.parametrize(("given", "id_"), [(7, "7"), (7.0, "7"), ("007", "007"), (decimal.Decimal(8), "8")])
def test_ids_keep_their_written_form(tmp_path: Path, given: object, id_: str) -> None:
    pq.write_table(pa.table({"Row ID": [given], "REPORT": ["a"]}), tmp_path / "n.parquet")
    assert names(tmp_path / "n.parquet") == [id_]


@pytest.mark.parametrize(
    ("header", "id_column", "text_column"),
    [
        ("note_id,text,subject_id", "note_id", "text"),
        ("ROW_ID,CATEGORY,TEXT", "ROW_ID", "TEXT"),
        ("External ID,Note Text", "External ID", "Note Text"),
        ("document_id,id,report,body", "id", "body"),
        ("DOCUMENT-ID, Content ", "DOCUMENT-ID", " Content "),
    ],
)
def test_columns_are_guessed_without_regard_to_case(header: str, id_column: str, text_column: str) -> None:
    columns = ColumnChoice().among(header.split(","), "n.csv")
    assert (columns.id, columns.text) == (id_column, text_column)


def test_named_columns_override_guessed_ones(tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_text("id,text,mrn,impression\n1,wrong,m1,right\n")
    choice = ColumnChoice(id_column="mrn", text_column="Impression")
    document = next(iter(open_sources([tmp_path / "n.csv"], choice).records))
    assert isinstance(document, Document)
    assert (document.external_id, document.text, document.metadata) == (
        "m1",
        "right",
        {"id": "1", "text": "wrong"},
    )


@pytest.mark.parametrize("name", ["n.csv", "n.jsonl", "n.parquet"])
def test_a_failed_guess_is_an_error_that_lists_the_columns(tmp_path: Path, name: str) -> None:
    (tmp_path / "n.csv").write_text("subject_id,gender\n1,F\n")
    (tmp_path / "n.jsonl").write_text('oops\n{"subject_id": 1}\n{"gender": "F"}\n')
    pq.write_table(pa.table({"subject_id": [1], "gender": ["F"]}), tmp_path / "n.parquet")
    message = error_message(tmp_path / name)
    assert "subject_id, gender" in message
    assert "--text-column" in message


def test_a_missing_named_column_is_an_error_that_names_the_option(tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_text("id,text\n1,a\n")
    assert "no column 'note'" in error_message(tmp_path / "n.csv", text_column="note")
    assert "--id-column" in error_message(tmp_path / "n.csv", id_column="mrn")


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([], "no source"),
        (["missing.jsonl"], "there is no file or folder missing.jsonl"),
        (["missing-*.jsonl"], "nothing to read in missing-*.jsonl"),
        (["empty"], "nothing to read in empty"),
        (["notes.doc"], ".parquet, .json, .hl7, .xml, .html"),
        (["notes.parquet.gz"], "cannot tell what notes.parquet.gz is"),
        (["broken.parquet"], "not a readable Parquet file"),
        (["empty.csv"], "no header line"),
        (["sqlite:///a.db"], "--sql URL --query"),
        (["-", "-"], "once only"),
        (["-", StandardInput("text")], "once only"),
        ([SqlQuery("nonsense", "SELECT 1")], "no database URL"),
    ],
)
def test_a_source_that_cannot_be_read_says_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: list[object], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for name in ["notes.doc", "notes.parquet.gz", "broken.parquet", "empty.csv"]:
        (tmp_path / name).touch()
    assert message in error_message(*sources)


def test_further_columns_become_json_metadata(tmp_path: Path) -> None:
    when = datetime.datetime(2024, 5, 7, 12, 30, tzinfo=datetime.UTC)
    columns = {
        "text": ["a"],
        "when": [when],
        "born": [datetime.date(1950, 1, 2)],
        "at": [datetime.time(7, 5)],
        "weight": [decimal.Decimal("70.50")],
        "exact": [decimal.Decimal("0.1234567890123456789")],
        "count": [decimal.Decimal("12")],
        "gap": [float("nan")],
        "none": pa.array([None], pa.string()),
        "nested": [{"codes": ["I10", None], "score": float("inf")}],
    }
    pq.write_table(pa.table(columns), tmp_path / "n.parquet")
    (document,) = open_sources([tmp_path / "n.parquet"]).records
    assert isinstance(document, Document)
    assert json.loads(json.dumps(document.metadata, allow_nan=False)) == {
        "when": "2024-05-07T12:30:00+00:00",
        "born": "1950-01-02",
        "at": "07:05:00",
        "weight": 70.5,
        "exact": "0.1234567890123456789",
        "count": 12,
        "gap": None,
        "none": None,
        "nested": {"codes": ["I10", None], "score": None},
    }


def _write_many(path: Path, count: int) -> None:
    note = "The patient is stable and afebrile. " * 60
    if path.suffix == ".parquet":
        pq.write_table(
            pa.table({"text": [f"{number} {note}" for number in range(count)]}), path, row_group_size=1_000
        )
    elif path.suffix == ".csv":
        path.write_text("id,text\n" + "".join(f'{number},"{note}"\n' for number in range(count)))
    else:
        lines = "".join(f'{{"id": {number}, "text": "{note}"}}\n' for number in range(count))
        path.write_bytes(gzip.compress(lines.encode(), 1))


@pytest.mark.parametrize("name", ["n.jsonl.gz", "n.csv", "n.parquet"])
def test_memory_does_not_grow_with_the_archive(tmp_path: Path, name: str) -> None:
    _write_many(tmp_path / name, 10_000)  # 22 MB of text
    tracemalloc.start()
    try:
        assert sum(1 for _ in open_sources([tmp_path / name]).records) == 10_000
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()
