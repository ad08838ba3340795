"""A SQL query as a source, on SQLite files and on PostgreSQL."""

from __future__ import annotations

import sqlite3
import tracemalloc
from pathlib import Path

import pytest

from models.documents import Document, Refused
from models.errors import UsageError
from producer.columns import ColumnChoice
from producer.sources import open_sources
from producer.sql import SqlQuery


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


def test_rows_become_documents_and_bad_ones_are_refused_with_their_number(sqlite_archive: str) -> None:
    found = read(sqlite_archive, "SELECT * FROM notes ORDER BY note_id")
    assert [(one.line, one.text if isinstance(one, Document) else one.reason) for one in found] == [
        (1, "BP 140/90\r\nat 10:30, 5% glucose"),
        (2, "no text"),
        (3, "text is not a string"),
        (4, "invalid Unicode"),
        (5, "last"),
    ]
    assert isinstance(found[0], Document)
    assert (found[0].external_id, found[0].metadata) == ("n1", {"ward": "A"})


def test_colons_and_percent_signs_in_a_query_are_the_databases(sqlite_archive: str) -> None:
    found = read(
        sqlite_archive, "SELECT text, '10:30' AS at FROM notes WHERE text LIKE '%5\\% gl%' ESCAPE '\\'"
    )
    assert [(one.external_id, one.line) for one in found] == [("archive.db:1", 1)]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT * FROM note", "no such table: note"),
        ("SELEC 1", "syntax error"),
        ("SELECT ward FROM notes", "Its columns: ward"),
        ("CREATE TABLE x (y)", "returns no rows"),
    ],
)
def test_a_query_that_does_not_work_is_a_usage_error(sqlite_archive: str, query: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        open_sources([SqlQuery(sqlite_archive, query)])


def test_a_missing_sqlite_file_is_said_and_not_created(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no database file"):
        open_sources([SqlQuery(f"sqlite:///{tmp_path}/missing.db", "SELECT 1")])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql+psycopg://me:secret@127.0.0.1:1/archive?sslpassword=secret", "cannot connect"),
        ("oracle+nothing://me:secret@h/x", "cannot use"),
        ("me:secret@h", "no database URL"),
    ],
)
def test_a_database_that_cannot_be_used_is_said_without_its_password(url: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        open_sources([SqlQuery(url, "SELECT 1")])
    assert "secret" not in str(raised.value)
    assert "secret" not in repr(SqlQuery(url, "SELECT 1"))


def test_a_query_of_ten_thousand_notes_is_streamed(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "big.db") as connection:
        connection.execute("CREATE TABLE notes (id INTEGER, text TEXT)")
        note = "The patient is stable. " * 100
        connection.executemany(
            "INSERT INTO notes VALUES (?, ?)", ((number, note) for number in range(10_000))
        )
    connection.close()
    tracemalloc.start()
    try:
        opened = open_sources([SqlQuery(f"sqlite:///{tmp_path}/big.db", "SELECT * FROM notes")])
        assert sum(1 for _ in opened.records) == 10_000
        assert tracemalloc.get_traced_memory()[1] < 4_000_000  # of 23 MB
    finally:
        tracemalloc.stop()
