"""The fuzzer passes a short run and detects planted faults; faults that it found stay fixed.

`python -m resilience.fuzz --inputs 10000` is the run before a release.
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
from resilience.fuzz.__main__ import _run_in_process, main
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
def _connections_of_other_tests_stay_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """kombu makes each child close connections that other tests left in this process: five seconds each."""
    monkeypatch.setattr("multiprocessing.util._run_after_forkers", lambda: None)


def read(path: Path, content: bytes) -> list[Document | Refused]:
    path.write_bytes(content)
    return list(open_sources([path]).records)


def test_a_short_run_over_several_targets_finds_no_failure(capfd: pytest.CaptureFixture[str]) -> None:
    only = [word for name in QUICK for word in ("--only", name)]
    status = main(["--inputs", "140", "--seed", "7", "--json", *only])
    out, err = capfd.readouterr()
    figures = json.loads(out.splitlines()[-1])
    assert (status, figures["failures"], figures["inputs"]) == (0, 0, 140), err


def test_the_same_seed_makes_the_same_input() -> None:
    first, second = (mutated(random.Random("1 notes.csv 5"), [b"a,b\n1,2\n" * 20]) for _ in range(2))
    assert first == second


def exit_process() -> str:
    os._exit(9)


def leak_the_canary() -> str:
    checked_reason(f"no such patient: {CANARY.decode()}")
    return "read"


def take_all_memory() -> str:
    return str(len(b"x" * 2**32))


@pytest.mark.parametrize(
    ("fail", "words"),
    [
        (exit_process, "the process died (9)"),
        (leak_the_canary, "LeakError"),
        (take_all_memory, "MemoryError"),
        (lambda: {}["a"], "KeyError at test_fuzz.py"),
    ],
)
def test_each_kind_of_failure_is_detected(fail: Callable[[], Any], words: str, tmp_path: Path) -> None:
    target = FuzzTarget("target", lambda chance: chance.random(), lambda _given, _folder: fail())
    result = _run_in_process(target, 1, range(2), tmp_path)
    assert [words in line for line in result.failures] == [True, True]
    assert result.outcomes["failed"] == 2


def test_an_e_mail_address_in_angle_brackets_does_not_stop_the_archive(tmp_path: Path) -> None:
    (document,) = read(tmp_path / "a.html", b"<p>Call <jane@ward.example> for pain.</p>")
    assert isinstance(document, Document)
    assert "for pain." in document.text


def test_a_small_file_takes_little_memory(tmp_path: Path) -> None:
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
def test_a_malformed_brat_line_is_skipped(line: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Pain.")
    (tmp_path / "a.ann").write_bytes(line + b"T2\tproblem 0 4\tPain\n")
    (note,) = import_annotations(tmp_path, {}, frozenset({"problem"})).notes
    assert [entity["text"] for entity in note["entities"]] == ["Pain"]


def test_a_brat_file_that_is_not_utf8_is_skipped_and_counted(tmp_path: Path) -> None:
    for name, content in (("a.txt", b"Pain."), ("a.ann", b"\xff"), ("b.txt", b"Well."), ("b.ann", b"")):
        (tmp_path / name).write_bytes(content)
    imported = import_annotations(tmp_path, {}, frozenset())
    assert ([note["id"] for note in imported.notes], dict(imported.left_out)) == (["b"], {"invalid UTF-8": 1})


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_lone_surrogate_in_training_data_is_a_broken_row(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(rb'{"text": "\ud800", "entities": []}')
    assert list(read_rows(tmp_path / name)) == [BrokenRow("invalid UTF-8")]
