"""A SQL query as a source, on SQLite files and on PostgreSQL."""

from __future__ import annotations

import sqlite3
import tracemalloc
from pathlib import Path

import pytest
import sqlalchemy as sa

from models.documents import Document, Refused
from models.errors import NotemillError, UsageError
from producer.records.columns import ColumnChoice
from producer.sources.sources import open_sources
from producer.sources.sql_query import SqlQuery


def read(url: str, query: str, **columns: str) -> list[Document | Refused]:
    return list(open_sources([SqlQuery(url, query)], ColumnChoice(**columns)).records)


@pytest.fixture
def sqlite_archive(tmp_path: Path) -> str:
    path = tmp_path / "archive.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE notes (note_id TEXT, text TEXT, ward TEXT)")
        rows = [("n1", "BP 140/90\r\nat 10:30, 5% glucose", "A"), ("n2", None, "B"), ("n3", b"raw", "C")]
        connection.executemany("INSERT INTO notes VALUES (?, ?, ?)", rows)
        connection.execute(
            "INSERT INTO notes VALUES ('n4', CAST(x'636166E9' AS TEXT), 'D'), ('n5', 'last', 'E')"
        )
    connection.close()
    return f"sqlite:///{path}"


def test_rows_become_documents_and_bad_rows_are_refused_with_their_number(sqlite_archive: str) -> None:
    records = read(sqlite_archive, "SELECT * FROM notes ORDER BY note_id")
    assert [
        (record.line, record.text if isinstance(record, Document) else record.reason) for record in records
    ] == [
        (1, "BP 140/90\r\nat 10:30, 5% glucose"),
        (2, "no text"),
        (3, "text is not a string"),
        (4, "invalid Unicode"),
        (5, "last"),
    ]
    assert isinstance(records[0], Document)
    assert (records[0].external_id, records[0].metadata) == ("n1", {"ward": "A"})


def test_colons_and_percent_signs_in_a_query_reach_the_database_unchanged(sqlite_archive: str) -> None:
    records = read(
        sqlite_archive, "SELECT text, '10:30' AS at FROM notes WHERE text LIKE '%5\\% gl%' ESCAPE '\\'"
    )
    assert [(record.external_id, record.line) for record in records] == [("archive.db:1", 1)]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT * FROM note", "no such table: note"),
        ("SELEC 1", "syntax error"),
        ("SELECT ward FROM notes", "Its columns: ward"),
        ("CREATE TABLE x (y)", "returns no rows"),
    ],
)
def test_a_failing_query_is_a_usage_error(sqlite_archive: str, query: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_sources([SqlQuery(sqlite_archive, query)])


def test_a_missing_sqlite_file_is_an_error_and_not_created(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no database file"):
        open_sources([SqlQuery(f"sqlite:///{tmp_path}/missing.db", "SELECT 1")])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql+psycopg://me:secret@127.0.0.1:1/archive?sslpassword=secret", "cannot connect"),
        ("oracle+nothing://me:secret@h/x", "cannot use"),
        ("me:secret@h", "no database URL"),
    ],
)
def test_an_unusable_database_is_an_error_without_its_password(url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        open_sources([SqlQuery(url, "SELECT 1")])
    assert "secret" not in str(raised.value)
    assert "me:" not in str(raised.value)
    assert "secret" not in repr(SqlQuery(url, "SELECT 1"))


def test_a_database_is_shown_without_user_and_password() -> None:
    source = SqlQuery("postgres://me:secret@db.example:5433/archive?password=secret", "SELECT 1")
    assert source.shown == "postgresql://db.example:5433/archive"


@pytest.fixture
def archive(engine: sa.Engine) -> str:
    """The URL of a database with 5,000 notes of 2.3 kB, on SQLite and on PostgreSQL."""
    rows = [{"id": number, "text": f"note {number}: 5% glucose\r\n" * 100} for number in range(5_000)]
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE archive (note_id INTEGER, text TEXT, weight NUMERIC, day DATE)"
        )
        connection.execute(sa.text("INSERT INTO archive VALUES (:id, :text, 70.5, '2024-05-07')"), rows)
    return engine.url.render_as_string(hide_password=False)


def test_both_databases_give_the_same_documents(archive: str) -> None:
    query = "SELECT * FROM archive WHERE text LIKE '%7: 5% glu%' AND '10:30' = '10:30' ORDER BY note_id"
    records = read(archive, query)
    assert len(records) == 500
    assert isinstance(records[0], Document)
    assert (records[0].external_id, records[0].text) == ("7", "note 7: 5% glucose\r\n" * 100)
    assert records[0].metadata == {"weight": 70.5, "day": "2024-05-07"}


def test_both_databases_stream(archive: str) -> None:
    records = open_sources([SqlQuery(archive, "SELECT * FROM archive")]).records
    tracemalloc.start()
    try:
        assert sum(1 for _ in records) == 5_000
        assert tracemalloc.get_traced_memory()[1] < 3_000_000  # of 12 MB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
def test_a_failed_conversion_is_an_error_without_the_value(archive: str) -> None:
    with pytest.raises(UsageError, match="InvalidTextRepresentation") as raised:
        open_sources([SqlQuery(archive, "SELECT text, text::int AS number FROM archive")])
    assert "glucose" not in str(raised.value)


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
def test_a_query_that_fails_midway_names_the_number_of_rows_read(archive: str) -> None:
    query = "SELECT note_id, text, 1 / (note_id - 900) AS x FROM archive"
    with pytest.raises(NotemillError, match=r"stopped after \d+ rows \(DivisionByZero\)"):
        read(archive, query)
