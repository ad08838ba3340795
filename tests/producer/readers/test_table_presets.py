"""Presets for OMOP and MIMIC: reading their note tables from databases and files."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from postgres_server import database_url, execute

from models.documents import Document
from models.errors import UsageError
from producer.records.columns import ColumnChoice
from producer.records.table_presets import MIMIC, OMOP, preset_named
from producer.sources.sources import open_sources
from producer.sources.sql_query import SqlQuery, newest
from producer.sources.watermark import WatermarkWindow, mark_as_json, mark_of_json

OMOP_COLUMNS = (
    "note_id INTEGER, person_id INTEGER, note_date DATE, note_datetime TIMESTAMP,"
    " note_type_concept_id INTEGER, note_class_concept_id INTEGER, note_title VARCHAR(250), note_text TEXT,"
    " encoding_concept_id INTEGER,"
    " language_concept_id INTEGER, provider_id INTEGER, visit_occurrence_id INTEGER, visit_detail_id INTEGER,"
    " note_source_value VARCHAR(50), note_event_id INTEGER, note_event_field_concept_id INTEGER"
)
"""https://ohdsi.github.io/CommonDataModel/cdm54.html#note"""
OMOP_ROWS = [
    (501, "2026-01-02 08:30:00", "Fever since two days.\r\nNo cough; 100% compliance."),
    (502, "2026-01-03 09:00:00", "Pneumonia resolved."),
    (503, "2026-01-03 09:00:00", "Discharge: amoxicillin stopped."),
]
MIMIC_COLUMNS = (
    "note_id TEXT, subject_id INTEGER, hadm_id INTEGER, note_type TEXT, note_seq INTEGER,"
    " charttime TIMESTAMP, storetime TIMESTAMP, text TEXT"
)
"""https://mimic.mit.edu/docs/iv/modules/note/"""


def insert(values: tuple[Any, ...]) -> str:
    id_, moment, text = values
    return (
        f"INSERT INTO {{note}} VALUES ({id_}, 70{id_}, '{moment[:10]}', '{moment}', 44814645, 44814637,"
        f" 'Note', '{text}', 32678, 4180186, 9, 8{id_}, NULL, 'DS', NULL, NULL)"
    )


@pytest.fixture
def sqlite_omop(tmp_path: Path) -> str:
    with sqlite3.connect(tmp_path / "cdm.db") as connection:
        connection.execute(f"CREATE TABLE NOTE ({OMOP_COLUMNS})")
        for row in OMOP_ROWS:
            connection.execute(insert(row).format(note="NOTE"))
    connection.close()
    return f"sqlite:///{tmp_path / 'cdm.db'}"


@pytest.fixture
def postgres_omop(postgres: str) -> Iterator[str]:
    """An OMOP database whose note table is in a schema outside the search path."""
    execute(postgres, "CREATE DATABASE cdm54")
    url = database_url(postgres, "cdm54")
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql")) as connection:
        connection.execute("CREATE SCHEMA other")
        connection.execute("CREATE TABLE other.note (x INTEGER)")
        connection.execute("CREATE SCHEMA cdm")
        connection.execute(f"CREATE TABLE cdm.note ({OMOP_COLUMNS})")  # type: ignore[arg-type]
        for row in OMOP_ROWS:
            connection.execute(insert(row).format(note="cdm.note"))  # type: ignore[arg-type]
    yield url
    execute(postgres, "DROP DATABASE cdm54 WITH (FORCE)")


def read(url: str, query: str = "", window: WatermarkWindow | None = None) -> list[Document]:
    records = list(open_sources([SqlQuery(url, query, OMOP, window)], ColumnChoice()).records)
    assert all(isinstance(record, Document) for record in records), records
    return [record for record in records if isinstance(record, Document)]


def ids(*arguments: Any) -> list[str]:
    return [document.external_id for document in read(*arguments)]


def test_the_omop_preset_finds_the_note_table_and_maps_its_columns(sqlite_omop: str) -> None:
    note = read(sqlite_omop)[0]
    assert (note.external_id, note.text) == ("501", "Fever since two days.\r\nNo cough; 100% compliance.")
    shared = {name: note.metadata[name] for name in ("patient", "encounter", "type", "title", "date")}
    assert shared == {
        "patient": "70501",
        "encounter": "8501",
        "type": "44814637",
        "title": "Note",
        "date": "2026-01-02 08:30:00",
    }
    assert note.metadata["provider_id"] == 9


def test_on_postgresql_the_note_table_is_found_in_the_schema_cdm(postgres_omop: str) -> None:
    notes = read(postgres_omop)
    assert [note.external_id for note in notes] == ["501", "502", "503"]
    assert notes[0].metadata["date"] == "2026-01-02T08:30:00"


def test_a_given_query_replaces_the_table_of_the_preset(sqlite_omop: str) -> None:
    assert ids(sqlite_omop, "SELECT * FROM note WHERE note_id > 501 -- of these") == ["502", "503"]


def test_only_rows_in_the_watermark_window_are_read(sqlite_omop: str) -> None:
    assert ids(sqlite_omop, "", WatermarkWindow("note_id", 501, 502)) == ["502"]
    assert ids(sqlite_omop, "", WatermarkWindow("note_id", None, 502)) == ["501", "502"]
    assert ids(
        sqlite_omop, "SELECT * FROM note WHERE note_text LIKE '%:%';", WatermarkWindow("note_id", 1, None)
    ) == ["503"]


def test_rows_at_the_last_timestamp_are_read_again(postgres_omop: str) -> None:
    last = newest(SqlQuery(postgres_omop, "", OMOP), "note_datetime")
    assert last == datetime(2026, 1, 3, 9)  # noqa: DTZ001
    kept = mark_of_json(mark_as_json(last))
    assert ids(postgres_omop, "", WatermarkWindow("note_datetime", kept, None)) == ["502", "503"]
    assert ids(postgres_omop, "", WatermarkWindow("note_date", date(2026, 1, 3), None)) == ["502", "503"]
    assert ids(
        postgres_omop,
        "SELECT * FROM cdm.note WHERE note_text LIKE '%100%%'",
        WatermarkWindow("note_id", 1, 600),
    ) == ["501"]


def test_the_newest_of_an_empty_table_is_none(sqlite_omop: str) -> None:
    assert newest(SqlQuery(sqlite_omop, "SELECT * FROM note WHERE note_id < 0", OMOP), "note_id") is None


def test_a_database_without_the_table_says_what_to_type(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "empty.db").close()
    with pytest.raises(UsageError, match=r"--preset mimic --query 'SELECT \* FROM my_schema.discharge'"):
        open_sources([SqlQuery(f"sqlite:///{tmp_path}/empty.db", "", MIMIC)])


def test_an_unknown_preset_is_an_error_that_lists_the_presets() -> None:
    with pytest.raises(UsageError, match="Presets: omop, mimic"):
        preset_named("i2b2")


def test_both_tables_of_mimic_are_read(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "mimic.db") as connection:
        for table, kind in (("radiology", "RR"), ("discharge", "DS")):
            connection.execute(f"CREATE TABLE {table} ({MIMIC_COLUMNS})")
            row = (
                f"10000032-{kind}-21",
                10000032,
                22595853,
                kind,
                21,
                "2180-05-07 00:00:00",
                None,
                "Ascites.",
            )
            connection.execute(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    connection.close()
    records = list(open_sources([SqlQuery(f"sqlite:///{tmp_path}/mimic.db", "", MIMIC)]).records)
    identified = [
        (record.external_id, record.metadata["type"], record.metadata["patient"])
        for record in records
        if isinstance(record, Document)
    ]
    assert identified == [("10000032-DS-21", "DS", "10000032"), ("10000032-RR-21", "RR", "10000032")]


def test_a_preset_overrides_the_guessed_columns_of_a_file(tmp_path: Path) -> None:
    with (tmp_path / "NOTE.csv").open("w", newline="") as file:
        rows = [["id", "note_id", "person_id", "text", "NOTE_TEXT"], ["1", "77", "5", "not this", "Fever."]]
        csv.writer(file).writerows(rows)
    (note,) = open_sources([tmp_path / "NOTE.csv"], ColumnChoice(preset=OMOP)).records
    assert isinstance(note, Document)
    assert (note.external_id, note.text, note.metadata["patient"]) == ("77", "Fever.", "5")


@given(mark=st.integers() | st.text() | st.datetimes() | st.dates() | st.floats(allow_nan=False))
def test_a_watermark_round_trips_through_json(mark: Any) -> None:
    assert mark_of_json(mark_as_json(mark)) == mark


def test_an_unusable_watermark_type_is_an_error() -> None:
    with pytest.raises(UsageError, match="take an id or a time"):
        mark_as_json(b"x")
