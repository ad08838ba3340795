"""Fuzz targets of everything that reads files and answers of a server; the queue is in queue_fuzzing."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import sqlite3
import zipfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from models.documents import Document, Refused
from models.labels import load_labels
from models.settings import load_settings
from producer.records.columns import ColumnChoice
from producer.sources.sources import open_sources
from producer.sources.sql_query import SqlQuery
from producer.sources.standard_input import StandardInput, read_standard_input
from resilience.fuzz import seed_inputs
from resilience.fuzz.input_check import FuzzTarget, checked_reason
from resilience.fuzz.mutations import mutated


def reader_targets(folder: Path) -> tuple[FuzzTarget, ...]:
    """All targets. Seeds that are made first are written to `folder`."""
    return (
        *(_file(name, lambda made=made: made()) for name, made in _FILES.items()),
        FuzzTarget(
            "letter.docx inside", _letter, lambda content, at: _records_of_file(content, at / "letter.docx")
        ),
        _of_bytes(
            "standard_input",
            lambda: (*seed_inputs.text(), *seed_inputs.lines(), *seed_inputs.of_file("oru.hl7")),
            _piped,
        ),
        _of_bytes("sql_file", lambda: seed_inputs.database(folder / "seed.db"), _query),
        FuzzTarget("sql_values", _odd_values, _queried),
        _of_bytes("settings", seed_inputs.settings, _settings),
        _of_bytes("labels", seed_inputs.labels, lambda path: _read_if(load_labels(path)), "labels.toml"),
        _of_bytes("plan", seed_inputs.plans, _plan, "plan.toml"),
        _of_bytes("annotations_label_studio", seed_inputs.label_studio, _annotations, "export.json"),
        _of_bytes("annotations_own", seed_inputs.own_notes, _annotations, "notes.jsonl"),
        _of_bytes("annotations_brat", seed_inputs.brat, _brat, "note.ann"),
        *(
            _of_bytes(f"training{end}", seed_inputs.training_rows, _rows, f"rows{end}")
            for end in (".json", ".jsonl")
        ),
        _of_bytes(
            "training.csv", lambda: (b"chat_sample,dataset_origin\n[INST] a [/INST] b,med\n",), _rows, "a.csv"
        ),
        _of_bytes("training.parquet", seed_inputs.training_parquet, _rows, "rows.parquet"),
        _of_bytes("server_answers", seed_inputs.answers, _server_answer),
    )


_FILES: dict[str, Callable[[], tuple[bytes, ...]]] = {
    "notes.txt": seed_inputs.text,
    "notes.jsonl": seed_inputs.lines,
    "fhir.ndjson": lambda: seed_inputs.of_file("DocumentReference.000.ndjson", "DiagnosticReport.000.ndjson"),
    "fhir.json": lambda: seed_inputs.of_file("bundle.json"),
    "notes.csv": lambda: seed_inputs.delimited(b","),
    "notes.tsv": lambda: seed_inputs.delimited(b"\t"),
    "notes.parquet": seed_inputs.parquet,
    "messages.hl7": lambda: seed_inputs.of_file("mdm.hl7", "oru.hl7"),
    "ccd.xml": lambda: seed_inputs.of_file("ccd.xml"),
    "page.html": lambda: seed_inputs.of_file("clinic.html"),
    "letter.rtf": lambda: seed_inputs.of_file("operative.rtf"),
    "letter.docx": lambda: seed_inputs.of_file("letter.docx"),
    "report.pdf": lambda: seed_inputs.of_file("report.pdf", "scanned.pdf"),
    "of_no_ending": lambda: seed_inputs.of_file(
        "oru.hl7", "operative.rtf", "clinic.html", "report.pdf", "ccd.xml"
    ),
    "notes.jsonl.gz": lambda: (*seed_inputs.lines(), *map(gzip.compress, seed_inputs.lines())),
    "notes.csv.gz": lambda: (*seed_inputs.delimited(b","), *map(gzip.compress, seed_inputs.delimited(b","))),
}


def _of_bytes(
    name: str, made: Callable[[], Sequence[bytes]], read: Callable[[Path], str], file: str = "input"
) -> FuzzTarget:
    """A target whose inputs are mutated bytes in a file of that name."""
    seeds: list[bytes] = []

    def make(chance: random.Random) -> bytes:
        seeds.extend(() if seeds else made())
        return mutated(chance, seeds)

    def read_bytes(content: bytes, folder: Path) -> str:
        path = folder / file
        path.write_bytes(content)
        return read(path)

    return FuzzTarget(name, make, read_bytes)


def _file(name: str, made: Callable[[], Sequence[bytes]]) -> FuzzTarget:
    return _of_bytes(name, made, lambda path: _records(open_sources([path]).records), name)


def _letter(chance: random.Random) -> bytes:
    """A valid archive with a mutated document: a mutated archive is nearly always refused as a whole."""
    made = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(seed_inputs.of_file("letter.docx")[0])) as good,
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as bad,
    ):
        for name in good.namelist():
            content = good.read(name)
            bad.writestr(name, mutated(chance, [content]) if name == "word/document.xml" else content)
    return made.getvalue()


def _records_of_file(content: bytes, path: Path) -> str:
    path.write_bytes(content)
    return _records(open_sources([path]).records)


def _records(records: Iterable[Document | Refused]) -> str:
    """Checks that the store could take every document, and that refusals are fixed phrases."""
    is_read = False
    for record in records:
        if isinstance(record, Refused):
            checked_reason(record.reason)
            continue
        record.text_sha256  # noqa: B018  text that cannot be encoded cannot be stored
        json.dumps(record.metadata, allow_nan=False).encode()
        is_read = True
    return "read" if is_read else "refused"


def _piped(path: Path) -> str:
    with path.open("rb") as stream:
        return _records(read_standard_input(StandardInput(), ColumnChoice(), stream))


def _query(path: Path) -> str:
    return _records(open_sources([SqlQuery(f"sqlite:///{path}", "SELECT * FROM notes")]).records)


_TYPES = ("INTEGER", "TEXT", "BLOB", "REAL", "TIMESTAMP", "BOOLEAN", "JSON", "")


def _odd_values(chance: random.Random) -> list[tuple[str, list[Any]]]:
    """Three columns of any type with values of any type, which SQLite allows."""
    names = chance.sample(("row_id", "id", "text", "note_text", "ward", "NOTE_ID", "ü"), 3)
    return [(f'"{name}" {chance.choice(_TYPES)}', [_value(chance) for _ in range(5)]) for name in names]


def _value(chance: random.Random) -> Any:
    return chance.choice(
        (
            *(None, 0, -1, 2**62, 1.5, float("inf"), float("nan"), -0.0, "", " ", "a\x00b", "\ud7ff"),
            *(seed_inputs.NOTE, seed_inputs.NOTE.encode(), b"\xff\xfe", chance.randbytes(9)),
            *("2024-01-02", "x" * 100_000, True, "😀"),
        )
    )


def _queried(columns: list[tuple[str, list[Any]]], folder: Path) -> str:
    path = folder / "values.db"
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.execute(f"CREATE TABLE notes ({', '.join(column for column, _ in columns)})")
    rows = zip(*(values for _, values in columns), strict=True)
    # A cast text may hold bytes that are not UTF-8.
    placeholders = ", ".join("CAST(? AS TEXT)" if "TEXT" in column else "?" for column, _ in columns)
    connection.executemany(f"INSERT INTO notes VALUES ({placeholders})", rows)  # noqa: S608
    connection.commit()
    connection.close()
    return _query(path)


def _settings(path: Path) -> str:
    os.environ["NOTEMILL_HOME"] = str(path.parent)
    path.rename(path.with_name("settings.toml"))
    return _read_if(load_settings())


def _plan(path: Path) -> str:
    from console.nightly.plan_file import read_plan

    return _read_if(read_plan(path))


def _annotations(path: Path) -> str:
    from training.data.annotations import import_annotations, write_notes

    imported = import_annotations(path, {}, frozenset(("problem", "medication")))
    for note in imported.notes:
        for entity in note["entities"]:
            assert note["text"][entity["start"] : entity["end"]] == entity["text"]
    write_notes(imported.notes, io.TextIOWrapper(io.BytesIO(), "utf-8"))
    for reason in imported.left_out:
        checked_reason(reason)
    return _read_if(imported.notes)


def _brat(path: Path) -> str:
    folder = path.parent / "brat"
    folder.mkdir(exist_ok=True)
    (folder / "note.txt").write_text(seed_inputs.NOTE)
    path.rename(folder / "note.ann")
    return _annotations(folder)


def _rows(path: Path) -> str:
    from training.data.prepare import PrepareRequest, prepare

    facts = prepare(PrepareRequest(sources=(str(path),)), path.parent / "prepared")
    for reason in (*facts["broken"], *facts["dropped"]):
        checked_reason(reason)
    return _read_if(facts["kept"])


def _server_answer(path: Path) -> str:
    from worker.engine.http.completions import MalformedAnswerError, parse_completion, parse_log_probabilities

    with suppress(ValueError, RecursionError):
        answer = json.loads(path.read_bytes())
        with suppress(MalformedAnswerError):
            parse_completion(answer)
        with suppress(MalformedAnswerError):
            scores = parse_log_probabilities(answer, [1, 2, 3])
            assert all(score <= 1e-6 for score in scores)
            return "read"
    return "refused"


def _read_if(result: Any) -> str:
    return "read" if result else "refused"
