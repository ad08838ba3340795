"""OMOP export: CDM columns, the rule for term_exists, typed views, and repeated exports."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from exported import ODD, PLAIN

from exports.omop.omop_rows import NLP_COLUMNS, NOTE_COLUMNS, note_ids
from exports.omop.omop_tables import METADATA
from exports.source.vocabulary import read_vocabulary
from models.errors import NotemillError, UsageError

if TYPE_CHECKING:
    from exported import Archive

pytest_plugins = ("exported",)


@pytest.fixture
def cdm(empty_url: str) -> str:
    """The URL of a hospital's database without tables; the test runs on SQLite and PostgreSQL."""
    return empty_url.replace("postgresql://", "postgresql+psycopg://")


def test_the_csv_has_the_columns_of_the_cdm_and_spans_that_match(archive: Archive) -> None:
    notes = _rows(archive.write("omop", "omop") / "note.csv")
    nlp_rows = _rows(archive.folder / "omop" / "note_nlp.csv")
    assert (tuple(notes[0]), tuple(nlp_rows[0])) == (NOTE_COLUMNS, NLP_COLUMNS)
    texts = {row["note_id"]: row["note_text"] for row in notes}
    assert list(texts.values()) == [ODD, PLAIN, "Nothing."]
    for row in nlp_rows:
        assert texts[row["note_id"]][int(row["offset"]) :].startswith(row["lexical_variant"])
        assert row["lexical_variant"] in row["snippet"]
    assert [row["note_nlp_id"] for row in nlp_rows] == [str(number) for number in range(1, 14)]


def test_a_note_row_holds_the_metadata_of_its_source(archive: Archive) -> None:
    first, second, _ = _rows(archive.write("omop", "omop") / "note.csv")
    assert (first["person_id"], first["visit_occurrence_id"], first["note_title"]) == (
        "12",
        "77",
        "Discharge",
    )
    assert (first["note_date"], first["note_source_value"]) == ("2024-05-06", "ward/1 ü.txt")
    assert (second["person_id"], second["visit_occurrence_id"]) == ("0", "")


def test_term_exists_follows_the_rule_of_the_cdm(archive: Archive) -> None:
    rows = _rows(archive.write("omop", "omop") / "note_nlp.csv")
    assertion = lambda row: row["term_modifiers"].split(";")[1].partition("=")[2]  # noqa: E731
    exists = {assertion(row): row["term_exists"] for row in rows}
    assert exists == {
        **dict.fromkeys(["present", "possible", "historical"], "Y"),
        **dict.fromkeys(["negated", "family", "conditional"], "N"),
    }
    assert {row["term_temporal"] for row in rows if assertion(row) == "historical"} == {"Past"}
    assert all(row["nlp_system"].startswith("notemill ") for row in rows)


def test_a_database_gets_tables_and_typed_views(archive: Archive, cdm: str) -> None:
    archive.write("omop", cdm)
    rows = _select(cdm, "SELECT * FROM note_nlp_typed ORDER BY note_nlp_id")
    expected = [(note, entity) for note in archive.notes() for _, entity in note.items("entities")]
    for row, (note, entity) in zip(rows, expected, strict=True):
        assert note.text[row["span_start"] : row["span_end"]] == entity["text"] == row["text"]
        assert (row["label"], row["assertion"]) == (entity["label"], entity["assertion"])
        assert row["probability"] == pytest.approx(0.75)
    statement = "SELECT text, dosage, route, frequency, is_past FROM note_nlp_medications ORDER BY text"
    medications = [tuple(row.values()) for row in _select(cdm, statement)]
    assert medications == [
        ("Amoxicillin", "500 mg", None, None, True),
        ("Aspirin", "100 mg", "p.o.", "daily", False),
    ]


def test_a_new_sqlite_file_is_readable_by_its_owner_only(archive: Archive) -> None:
    archive.write("omop", f"sqlite:///{archive.folder}/cdm.db")
    assert (archive.folder / "cdm.db").stat().st_mode & 0o077 == 0
    with pytest.raises(UsageError, match="cannot write"):
        archive.write("omop", "sqlite:////nowhere/at/all/cdm.db")


def test_a_repeated_export_replaces_only_its_own_rows(archive: Archive, cdm: str) -> None:
    archive.write("omop", cdm)
    _execute(cdm, "INSERT INTO note_nlp (note_nlp_id, note_id, lexical_variant, nlp_date, nlp_system)"
             " VALUES (900, 1, 'x', '2024-01-01', 'ctakes')")  # fmt: skip
    archive.write("omop", cdm)
    counted = _select(cdm, "SELECT COUNT(*) AS n, COUNT(DISTINCT nlp_system) AS systems FROM note_nlp")
    assert counted == [{"n": 14, "systems": 2}]
    assert _select(cdm, "SELECT COUNT(*) AS n FROM note") == [{"n": 3}]


def test_a_refused_row_rolls_back_the_export_and_the_error_quotes_no_text(archive: Archive, cdm: str) -> None:
    engine = sa.create_engine(cdm)
    METADATA.create_all(engine)
    engine.dispose()
    _execute(cdm, "CREATE UNIQUE INDEX once ON note_nlp (lexical_variant)")
    _execute(cdm, "INSERT INTO note_nlp (note_nlp_id, note_id, lexical_variant, nlp_date)"
             " VALUES (1, 9, 'Amoxicillin', '2024-01-01')")  # fmt: skip
    with pytest.raises(NotemillError, match="nothing was written") as refused:
        archive.write("omop", cdm)
    assert "Amoxicillin" not in str(refused.value)
    assert _select(cdm, "SELECT COUNT(*) AS n FROM note") == [{"n": 0}]


def test_notes_with_numeric_ids_keep_them() -> None:
    assert note_ids(iter(["12", "7"])).are_own
    for mixed in (["12", "a"], ["012"], ["1" * 19], ["²"], ["-1"]):
        assert not note_ids(iter(mixed)).are_own


def test_a_vocabulary_gives_concepts(archive: Archive) -> None:
    path = archive.folder / "vocabulary.csv"
    path.write_text("label,text,concept_id,code\nproblem,chest pain,77670,R07.4\n,ASPIRIN,1112807,\n")
    rows = _rows(archive.write("omop", "omop", read_vocabulary(path)) / "note_nlp.csv")
    concepts = {row["lexical_variant"]: row["note_nlp_concept_id"] for row in rows}
    assert (concepts["Chest  pain"], concepts["Aspirin"], concepts["fever"]) == ("77670", "1112807", "0")


@pytest.mark.parametrize("content", ["text,concept\nx,1\n", "label\nx\n", "text,concept_id\nx,one\n", ""])
def test_a_vocabulary_that_cannot_be_used_says_why(tmp_path: Path, content: str) -> None:
    path = tmp_path / "vocabulary.csv"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"vocabulary\.csv"):
        read_vocabulary(path)


def test_an_unreachable_database_is_named_without_its_password(archive: Archive) -> None:
    for url in ("postgresql://user:secret@127.0.0.1:1/omop", "no such://url"):
        with pytest.raises(UsageError) as refused:
            archive.write("omop", url)
        assert "secret" not in str(refused.value)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _select(url: str, statement: str) -> list[dict[str, Any]]:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        rows = [dict(row) for row in connection.execute(sa.text(statement)).mappings()]
    engine.dispose()
    return rows


def _execute(url: str, statement: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()
