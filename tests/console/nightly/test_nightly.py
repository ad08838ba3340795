"""Nightly runs read only new notes, in order, until a deadline; unfinished notes come first next time."""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import making
import pytest
from hypothesis import given
from hypothesis import strategies as st
from workshop import ROOT, STAND_IN

from console.nightly.batch_window import publishing_order
from console.nightly.forecast import Forecast
from console.nightly.incremental_source import IncrementalSource
from console.nightly.plan_file import read_plan
from console.terminal.exit_status import run_to_exit
from console.terminal.opened_database import Database, database
from models.documents import Document, Refused
from models.errors import UsageError
from models.queries.nightly.nightly_runs import (
    OwedDocument,
    last_nightly_run,
    owed_documents_of_run,
    unfinished_documents,
)
from models.queries.nightly.throughput_rates import ThroughputRates, measured_rates
from models.queries.queries import Queries
from models.settings import load_settings
from models.store.store import Store
from notemill.verbs import app

if TYPE_CHECKING:
    from commands import Notemill

pytest_plugins = ("commands",)
NOON = datetime(2026, 1, 2, 12).astimezone()


def a_plan(folder: Path, text: str = 'sources = ["notes"]\ntasks = []\nsearches = ["fever"]\n') -> Path:
    path = folder / "archive.toml"
    path.write_text(text, "utf-8")
    return path


@contextmanager
def a_home() -> Iterator[tuple[Path, Any]]:
    """Yields a home, and a function that runs a verb there and returns its exit status and JSON.

    The verb runs in this process: a deadline in two seconds must not pass while Python starts.
    """
    home = Path(tempfile.mkdtemp(prefix="nm-"))  # a socket's path may have 107 bytes only
    (home / "weights").mkdir()
    (home / "weights" / "config.json").write_text("{}")
    ours = {"HOME": home, "WEIGHTS": home / "weights", "ADAPTER": "none", "STOP_SECONDS": 0}
    theirs = {"FOLDER": home, "LOAD_SECONDS": 0}

    def run(*arguments: object, seconds: int = 0) -> tuple[int, Any]:
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as output:
            for name, value in ours.items():
                patch.setenv(f"NOTEMILL_{name}", str(value))
            for name, value in {**theirs, "SECONDS": seconds}.items():
                patch.setenv(f"STAND_IN_{name}", str(value))
            patch.setenv("PYTHONPATH", os.pathsep.join(map(str, [STAND_IN, ROOT])))
            return run_to_exit(app, list(map(str, arguments))), json.loads(output.getvalue())

    yield home, run
    shutil.rmtree(home)


@pytest.fixture
def opened(store_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("NOTEMILL_DATABASE_URL", store_url)
    with database(load_settings()) as opened_database:
        yield opened_database


def take_in(opened: Database, path: Path) -> list[str]:
    """Takes in the plan's new notes as a nightly run does, without answering them; returns their ids."""
    plan = read_plan(path)
    source = IncrementalSource.of(opened, plan, load_settings(), last_nightly_run(opened.engine, plan.name))
    documents = [document for document in source.records() if isinstance(document, Document)]
    run_id, _ = making.submit(opened.store, documents)
    opened.store.begin_nightly_run(plan.name, run_id, watermark=source.watermark, files=source.file_states)
    return [document.external_id for document in documents]


def finish(opened: Database) -> None:
    for document_id in opened.queries.owed_documents(older_than_seconds=-1, limit=100):
        making.work_off(opened.store, document_id)


@pytest.fixture(scope="module")
def nightly_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Two nightly runs on six notes: the first ends before any answer; before the second, one note is new and
    one has changed. `first`, `dry` and `second` hold exit status and JSON."""
    with a_home() as (home, run):
        (home / "notes").mkdir()
        for number in range(6):
            (home / "notes" / f"note{number}.txt").write_text(f"Fever of {number} days. No cough.")
        plan = a_plan(home)
        until = datetime.now() + timedelta(seconds=2)  # noqa: DTZ005  the clock on the wall
        results = {"first": run("nightly", plan, "--until", f"{until:%H:%M:%S}", "--json", seconds=60)}
        results["held"] = run("status", "1", "--json")
        (home / "notes" / "new.txt").write_text("Fever is gone.")
        (home / "notes" / "note0.txt").write_text("Fever of 0 days. A cough now.")
        results["second"] = run("nightly", plan, "--json")
        (home / "notes" / "late.txt").write_text("Late.")
        results["dry"] = run("nightly", plan, "--dry-run", "--json")
        results["reports"] = [Path(path).read_text("utf-8") for path in results["second"][1]["reports"]]
        results["modes"] = {
            stat.S_IMODE(Path(path).stat().st_mode) for path in results["second"][1]["reports"]
        }
        yield results


def test_at_the_deadline_waiting_jobs_are_held_and_the_exit_status_is_75(
    nightly_runs: dict[str, Any],
) -> None:
    status, report = nightly_runs["first"]
    assert (status, report["notes_left"], report["is_stopped_at_deadline"]) == (75, 6, True)
    assert nightly_runs["held"][1]["cancelled"] == 6


def test_the_next_nightly_run_processes_unfinished_and_new_notes(nightly_runs: dict[str, Any]) -> None:
    status, report = nightly_runs["second"]
    assert (status, report["notes_new"], report["notes_carried_over"]) == (0, 2, 6)
    assert (report["jobs_done"], report["notes_left"]) == (7, 0)


def test_a_forecast_counts_only_notes_without_an_answer(nightly_runs: dict[str, Any]) -> None:
    assert (
        nightly_runs["dry"][0],
        nightly_runs["dry"][1]["documents"],
        nightly_runs["dry"][1]["characters"],
    ) == (0, 1, 5)


def test_a_report_compares_two_nightly_runs_and_contains_no_note_text(
    nightly_runs: dict[str, Any],
) -> None:
    markdown, html = nightly_runs["reports"]
    assert "| new notes | 2 | 6 |" in markdown
    assert '<td class="number">2</td><td class="number">6</td>' in html
    assert "Fever" not in markdown + html
    assert nightly_runs["modes"] == {0o600}


def test_a_nightly_run_without_new_notes_starts_no_worker_and_succeeds(notemill: Notemill) -> None:
    notemill.notes.mkdir()
    assert notemill("nightly", a_plan(notemill.home)) == 0
    assert "Nothing is to be done" in notemill.err
    assert not (notemill.home / "logs" / "worker.log").exists()


def test_a_dry_run_writes_nothing(notemill: Notemill) -> None:
    notemill.write(one="Fever.")
    assert notemill("nightly", a_plan(notemill.home), "--dry-run") == 0
    assert "1 note, 6 characters" in notemill.out
    assert notemill.json("status") == []


def test_unchanged_files_are_not_read_again(opened: Database, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    for name in ("a", "b"):
        (tmp_path / "notes" / f"{name}.txt").write_text(name)
    plan = a_plan(tmp_path)
    assert take_in(opened, plan) == ["a.txt", "b.txt"]
    finish(opened)
    assert take_in(opened, plan) == []
    (tmp_path / "notes" / "b.txt").write_text("b, corrected")
    (tmp_path / "notes" / "c.txt").write_text("c")
    assert take_in(opened, plan) == ["b.txt", "c.txt"]


def test_rows_up_to_the_watermark_are_not_read_again(opened: Database, tmp_path: Path) -> None:
    archive = sqlite3.connect(tmp_path / "archive.db")
    archive.execute("CREATE TABLE note (note_id INTEGER, note_text TEXT)")
    plan = a_plan(
        tmp_path, f'sql = "sqlite:///{tmp_path}/archive.db"\npreset = "omop"\nwatermark = "note_id"\n'
    )
    for start, expected in ((1, ["1", "2"]), (3, ["3", "4"])):
        archive.executemany(
            "INSERT INTO note VALUES (?, ?)", [(start, f"n{start}"), (start + 1, f"m{start}")]
        )
        archive.commit()
        assert take_in(opened, plan) == expected
        finish(opened)
    assert take_in(opened, plan) == []
    archive.close()


def test_unfinished_notes_are_carried_over_unless_a_newer_text_exists(
    opened: Database, tmp_path: Path
) -> None:
    (tmp_path / "notes").mkdir()
    for name in ("a", "b"):
        (tmp_path / "notes" / f"{name}.txt").write_text(name)
    plan = a_plan(tmp_path)
    take_in(opened, plan)
    opened.store.cancel(1)
    making.submit(opened.store, [Document(external_id="a.txt", text="a, corrected elsewhere")])
    assert [document.external_id for document in unfinished_documents(opened.engine, 1)] == ["b.txt"]
    assert len(owed_documents_of_run(opened.engine, 1)) == 0
    assert len(owed_documents_of_run(opened.engine, 1, with_held=True)) == 2
    assert take_in(opened, plan) == ["b.txt"]


def test_notes_that_the_source_has_withdrawn_are_not_carried_over(opened: Database, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    note = {"resourceType": "DocumentReference", "id": "n", "status": "current"}
    attachment = {"contentType": "text/plain", "data": "RmV2ZXI="}
    resource = {**note, "content": [{"attachment": attachment}]}
    (tmp_path / "notes" / "1.ndjson").write_text(json.dumps(resource))
    plan = a_plan(tmp_path)
    assert take_in(opened, plan) == ["DocumentReference/n"]
    (tmp_path / "notes" / "2.ndjson").write_text(json.dumps({**resource, "status": "entered-in-error"}))
    assert take_in(opened, plan) == []


def test_a_nightly_run_interrupted_during_registration_is_read_again(
    opened: Database, tmp_path: Path
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("a")
    plan = read_plan(a_plan(tmp_path))
    source = IncrementalSource.of(opened, plan, load_settings(), None)
    making.submit(opened.store, [record for record in source.records() if isinstance(record, Document)])
    assert take_in(opened, tmp_path / "archive.toml") == ["a.txt"]


def test_an_unreadable_file_is_reported_once(opened: Database, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.xyz").write_text("a")
    plan = read_plan(a_plan(tmp_path))
    source = IncrementalSource.of(opened, plan, load_settings(), None)
    assert [record.reason for record in source.records() if isinstance(record, Refused)] == [
        "unknown file ending"
    ]


def test_rates_come_from_runs_with_the_same_tasks(store: Store, queries: Queries, opened: Database) -> None:
    run_id, registered = making.submit(store, making.documents("Fever. " * 400, "Cough. " * 400))
    for document_id in registered.owed_document_ids:
        making.work_off(store, document_id)
    rates = measured_rates(opened.engine, [making.ENTITIES])
    assert rates is not None
    assert (rates.run_ids, rates.documents, rates.characters) == ((run_id,), 2, 5600)
    assert measured_rates(opened.engine, [making.SUMMARY]) is None


def test_a_forecast_states_the_share_that_fits_before_the_deadline() -> None:
    forecast = Forecast(100, 72_000, ThroughputRates((3,), 10, 1_000, 100.0, 500))
    assert (forecast.seconds, forecast.tokens) == (7_200.0, 36_000)
    words = forecast.words(NOON, NOON + timedelta(hours=1))
    assert words[0].endswith("about 2 h (measured on 10 notes in run 3).")
    assert words[1] == "Until 13:00 there is time for about 50% of it."


OWED = [
    OwedDocument(1, 10, {"type": "progress", "date": "2026-01-03"}),
    OwedDocument(2, 10, {"type": "discharge", "date": "2026-01-01"}),
    OwedDocument(3, 10, {"type": "discharge", "date": "2026-01-02"}),
    OwedDocument(4, 10, {"ward": 7}),
]


@pytest.mark.parametrize(
    ("first", "order", "ids"),
    [
        ([], "as read", [1, 2, 3, 4]),
        ([], "newest", [1, 3, 2, 4]),
        ([], "oldest", [2, 3, 1, 4]),
        ([{"ward": "7"}, {"type": "discharge"}], "as read", [4, 2, 3, 1]),
        ([{"type": ["discharge", "progress"]}], "newest", [1, 3, 2, 4]),
        ([{"type": "discharge"}], "newest", [3, 2, 1, 4]),
    ],
)
def test_notes_are_ordered_by_the_rules_and_then_by_date(
    first: list[Any], order: str, ids: list[int]
) -> None:
    assert publishing_order(OWED, first, order) == ids


@given(st.permutations(OWED), st.sampled_from(["as read", "newest", "oldest"]))
def test_no_note_is_lost_by_ordering(owed: list[OwedDocument], order: str) -> None:
    assert sorted(publishing_order(owed, [{"type": "discharge"}], order)) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sources = [", "not readable TOML"),
        ('sorces = ["x"]', "sorces: unknown name"),
        ("tasks = []", "no `sources`"),
        ('sources = ["x"]\nuntil = "6 am"', "a time of the day is written 06:00"),
        ('sql = "sqlite:///x"', "needs `query` or `preset`"),
        ('sources = ["x"]\nwatermark = "id"', "`watermark` goes with"),
        ('sources = ["x"]\nname = "y"', "name"),
    ],
)
def test_a_wrong_plan_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_plan(a_plan(tmp_path, text))


def test_a_missing_plan_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no plan .*x\.toml\. Type: printf"):
        read_plan(tmp_path / "x.toml")


def test_the_deadline_is_the_next_time_the_clock_shows_it(tmp_path: Path) -> None:
    plan = read_plan(a_plan(tmp_path))
    assert plan.deadline(NOON, "13:00") == NOON + timedelta(hours=1)
    assert plan.deadline(NOON, "06:00") == NOON + timedelta(hours=18)
    assert plan.deadline(NOON, None) is None
