"""The fuzzer finds nothing in a few inputs, and finds what it was built to find; what it found stays mended.

`python -m resilience.fuzz --inputs 10000` tries as many as a release should.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.documents import Document, Refused
from producer.records.columns import SourceError
from producer.sources.sources import open_sources
from resilience.fuzz.__main__ import _in_a_process, main
from resilience.fuzz.input_check import FuzzTarget, checked_reason
from resilience.fuzz.mutations import CANARY, mutated
from training.data.annotations import import_annotations
from training.data.data_tables import BrokenRow, read_rows

QUICK = (
    "notes.csv",
    "notes.parquet",
    "page.html",
    "letter.docx inside",
    "messages.hl7",
    "sql_values",
    "settings",
)


@pytest.fixture(autouse=True)
def _others_connections_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """kombu has multiprocessing close them in each child, and that takes five seconds: those that commands of
    other tests have left in this process."""
    monkeypatch.setattr("multiprocessing.util._run_after_forkers", lambda: None)


def read(path: Path, content: bytes) -> list[Document | Refused]:
    path.write_bytes(content)
    return list(open_sources([path]).records)


def test_a_short_run_over_kinds_of_readers_finds_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    only = [word for name in QUICK for word in ("--only", name)]
    status = main(["--inputs", "140", "--seed", "7", "--json", *only])
    out, err = capfd.readouterr()
    found = json.loads(out.splitlines()[-1])
    assert (status, found["failures"], found["inputs"]) == (0, 0, 140), err


def test_an_input_is_made_again_by_its_seed() -> None:
    one, other = (mutated(random.Random("1 notes.csv 5"), [b"a,b\n1,2\n" * 20]) for _ in range(2))
    assert one == other


def dies() -> str:
    os._exit(9)


def leaks() -> str:
    checked_reason(f"no such patient: {CANARY.decode()}")
    return "read"


def takes_all_memory() -> str:
    return str(len(b"x" * 2**32))


@pytest.mark.parametrize(
    ("does", "words"),
    [
        (dies, "the process died (9)"),
        (leaks, "LeakError"),
        (takes_all_memory, "MemoryError"),
        (lambda: {}["a"], "KeyError at test_fuzz.py"),
    ],
)
def test_what_must_not_happen_is_found(does: Callable[[], Any], words: str, tmp_path: Path) -> None:
    target = FuzzTarget("one", lambda chance: chance.random(), lambda _given, _folder: does())
    found = _in_a_process(target, 1, range(2), tmp_path)
    assert [words in line for line in found.failures] == [True, True]
    assert found.outcomes["failed"] == 2


def test_a_tag_that_is_an_address_does_not_end_the_archive(tmp_path: Path) -> None:
    (found,) = read(tmp_path / "a.html", b"<p>Call <jane@ward.example> for pain.</p>")
    assert isinstance(found, Document)
    assert "for pain." in found.text


def test_a_file_takes_no_more_memory_than_it_has_bytes(tmp_path: Path) -> None:
    import tracemalloc

    (tmp_path / "a.json").write_bytes(b'{"resourceType": "Bundle"}')
    tracemalloc.start()
    list(open_sources([tmp_path / "a.json"]).records)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20


def test_the_first_line_of_a_file_without_header_is_not_quoted(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="2 that cannot be names: is there a header") as caught:
        read(tmp_path / "a.csv", b'ward,Jane Doe was seen by us today,"fever, 39"\n1,2,3\n')
    assert "Jane" not in str(caught.value)
    assert "Its columns: ward (2" in str(caught.value)


@pytest.mark.parametrize(
    "line", [b"T1\t\tpain\n", b"T1\tproblem 0 %s\tPain\n" % (b"9" * 5_000), b"A1\tNegation\n"]
)
def test_a_malformed_line_of_brat_is_left_out(line: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Pain.")
    (tmp_path / "a.ann").write_bytes(line + b"T2\tproblem 0 4\tPain\n")
    (note,) = import_annotations(tmp_path, {}, frozenset({"problem"})).notes
    assert [entity["text"] for entity in note["entities"]] == ["Pain"]


def test_a_brat_file_that_is_no_utf8_is_left_out_and_counted(tmp_path: Path) -> None:
    for name, content in (("a.txt", b"Pain."), ("a.ann", b"\xff"), ("b.txt", b"Well."), ("b.ann", b"")):
        (tmp_path / name).write_bytes(content)
    found = import_annotations(tmp_path, {}, frozenset())
    assert ([note["id"] for note in found.notes], dict(found.left_out)) == (["b"], {"invalid UTF-8": 1})


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_half_a_character_in_training_data_is_a_broken_row(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(rb'{"text": "\ud800", "entities": []}')
    assert list(read_rows(tmp_path / name)) == [BrokenRow("invalid UTF-8")]
