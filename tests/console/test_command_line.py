"""The command line as a person types it: help, errors, and every verb that reads stored data."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import making
import pyarrow.parquet as pq
import pytest
import tiny
from sqlalchemy import Engine
from workshop import ROOT

from models.answers import Task
from models.documents import Document
from models.migrations import schema_version
from models.outcomes import Failed, Reason
from models.schema.database import connect
from models.settings import load_settings
from models.store.store import Store

if TYPE_CHECKING:
    from commands import Notemill

pytest_plugins = ("commands",)
NOTE = "=Pain\x1b[2J in the arm.\r\nNo fever."


@pytest.fixture
def stored(notemill: Notemill) -> Store:
    """A store with run 1: the note `a/1` with three answers, and a note whose jobs failed."""
    store = Store(opened())
    documents = [Document(external_id="a/1", text=NOTE), Document(external_id="b", text="Cough.")]
    _, registered = making.submit(store, documents, making.QUESTIONS)
    making.work_off(store, registered.owed_document_ids[0])
    for job in making.claimed(store, registered.owed_document_ids[1]).jobs:
        making.record(store, job, Failed(reason=Reason.TIMED_OUT))
    return store


def opened() -> Engine:
    engine = connect(load_settings().effective_database_url)
    schema_version.upgrade(engine)
    return engine


def test_help_imports_nothing_heavy_and_shows_every_verb() -> None:
    script = (
        "import sys; sys.argv = ['notemill', '--help']; from notemill.command_line import main\ntry: main()\n"
    )
    script += "except SystemExit: pass\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    words, modules = done.stdout.rsplit("\n", 2)[0], set(done.stdout.rsplit("\n", 2)[1].split())
    assert not modules & {"torch", "celery", "pyarrow", "sqlalchemy", "transformers", "pydantic"}
    for verb in ("run", "submit", "worker", "status", "results", "show", "sql", "doctor", "db", "weights"):
        assert f"│ {verb} " in words


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("r", ["run", "retry", "results", "recipe"]),
        ("export --t", ["--to"]),
        ("export --to o", ["omop"]),
        ("db u", ["upgrade"]),
    ],
)
def test_the_shell_completes_verbs_options_and_formats(typed: str, offered: list[str]) -> None:
    asked = {"COMP_WORDS": f"notemill {typed}", "COMP_CWORD": str(len(typed.split())), "PATH": ""}
    command = [sys.executable, "-m", "notemill"]
    environment = asked | {"_NOTEMILL_COMPLETE": "complete_bash"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == offered


@pytest.mark.parametrize("verb", ["run", "submit", "results", "show", "sql", "prompts", "db upgrade"])
def test_the_help_of_a_verb_ends_with_an_example(notemill: Notemill, verb: str) -> None:
    assert notemill(*verb.split(), "--help") == 0
    assert f"Example: notemill {verb}" in notemill.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rnu"], "No such command 'rnu'"),
        (["run", "--tsk", "x"], "No such option: --tsk"),
        (["status", "x"], "valid integer"),
        (["run"], "no source"),
        (["run", "/nowhere"], "there is no file or folder /nowhere"),
        (["run", "x", "--task", "poetry"], "there is no task 'poetry'"),
        (["run", "--sql", "sqlite:///x"], "--sql URL and --query"),
        (["results", "--format", "xml"], "there is no form 'xml'"),
        (["results", "--output", "x.doc"], "cannot tell the form"),
        (["results", "--run", "9"], "there is no run 9"),
        (["results", "--task", "poetry"], "--task 'poetry' is not known"),
        (["retry", "--reason", "bad"], "there is no reason 'bad'"),
        (["cancel", "9"], "there is no run 9"),
        (["sql", "SELECT foo FROM v_jobs"], "no such column: foo"),
        (["labels", "/nowhere.toml"], "cannot read the labels file"),
    ],
)
def test_a_wrong_command_is_one_line_and_exit_status_2(
    notemill: Notemill, arguments: list[str], words: str
) -> None:
    assert notemill(*arguments) == 2
    assert notemill.err.startswith("notemill: ")
    assert words in notemill.err
    assert notemill.err.count("\n") == 1
    assert notemill.out == ""


def test_an_unknown_setting_is_exit_status_2_and_suggests_the_right_name(
    notemill: Notemill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTEMILL_LEASE_SECOND", "3")
    assert notemill("status") == 2
    assert "did you mean NOTEMILL_LEASE_SECONDS?" in notemill.err


def test_a_note_that_is_not_there_is_exit_status_1(notemill: Notemill) -> None:
    assert notemill("show", "nobody") == 1
    assert "no note goes by the id 'nobody'" in notemill.err


def test_show_prints_note_summary_and_passages_harmlessly(notemill: Notemill, stored: Store) -> None:
    assert notemill("show", "a/1") == 0
    assert "[=Pain␛[2J|problem] in the arm.\nNo fever." in notemill.out
    assert "problem 1" in notemill.out
    assert "Course\n  Short." in notemill.out
    assert "search: Is there pain?" in notemill.out
    assert "0.75  =Pain␛[2J" in notemill.out
    assert "\x1b" not in notemill.out


def test_show_names_unanswered_tasks_and_the_reason(notemill: Notemill, stored: Store) -> None:
    assert notemill("show", "#2", "--plain") == 0
    assert "summary: failed (timed_out)" in notemill.out


def test_results_as_json_lines_have_one_object_per_job(notemill: Notemill, stored: Store) -> None:
    assert notemill("results", "--format", "jsonl", "--run", "1", "--status", "finished") == 0
    results = [json.loads(line) for line in notemill.out.splitlines()]
    assert [result["task"] for result in results] == ["entities", "search", "summary"]
    assert results[0]["entities"][0]["text"] == NOTE[:9]


def test_results_as_csv_have_one_line_per_item_and_no_formulas(notemill: Notemill, stored: Store) -> None:
    assert notemill("results", "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(notemill.out)))
    assert [row["item"] for row in rows] == ["entity", "passage", "sentence", "", "", ""]
    assert rows[0]["text"] == "'" + NOTE[:9]
    assert (rows[0]["start"], rows[0]["end"]) == ("0", "9")
    assert not any(value.startswith(("=", "+", "-", "@")) for row in rows for value in row.values())


def test_results_in_parquet_have_the_same_columns_for_every_task(notemill: Notemill, stored: Store) -> None:
    for task in Task:
        assert notemill("results", "--task", task, "--output", notemill.home / f"{task}.parquet") == 0
    tables = {task: pq.read_table(notemill.home / f"{task}.parquet") for task in Task}
    assert tables["entities"].schema == tables["search"].schema == tables["summary"].schema
    assert tables["entities"].to_pylist()[0]["entities"][0]["label"] == "problem"
    assert tables["summary"].to_pylist()[0]["summary"]["sections"] == [{"title": "Course", "text": "Short."}]


def test_results_as_a_table_have_one_line_per_job(notemill: Notemill, stored: Store) -> None:
    assert notemill("results") == 0
    assert "1 passage for 'Is there pain?'" in notemill.out
    assert notemill.out.count("timed_out") == 3


def test_a_results_file_is_private_and_replaces_the_old_file_atomically(
    notemill: Notemill, stored: Store
) -> None:
    path = notemill.home / "out.jsonl"
    path.write_text("old")
    assert notemill("results", "--output", path) == 0
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_text().splitlines()) == 6
    assert list(notemill.home.glob(".out.jsonl*")) == []


def test_an_output_file_that_cannot_be_opened_is_exit_status_2(notemill: Notemill, stored: Store) -> None:
    assert notemill("results", "--output", "/nowhere/out.jsonl") == 2
    assert "cannot write /nowhere/out.jsonl: No such file or directory" in notemill.err


def test_a_closed_pipe_is_no_error(notemill: Notemill, stored: Store) -> None:
    command = f"{sys.executable} -m notemill results -f jsonl | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("{", "")


def test_status_shows_runs_and_one_run_with_its_reasons(notemill: Notemill, stored: Store) -> None:
    assert notemill("status") == 0
    assert "done, 3 failed" in notemill.out
    assert notemill("status", 1) == 0
    assert "Failed, timed_out: 3" in notemill.out
    assert "retry --run 1" in notemill.out


def test_status_in_json_has_the_counts(notemill: Notemill, stored: Store) -> None:
    assert [run["failed"] for run in notemill.json("status")] == [3]
    assert notemill.json("status", 1)["state"] == "done, 3 failed"


def test_status_of_jobs_without_a_worker_says_what_to_type(notemill: Notemill) -> None:
    making.submit(Store(opened()), making.documents("Pain."))
    assert notemill("status") == 0
    assert "Jobs wait and no worker answers." in notemill.out
    assert " worker" in notemill.out


def test_watching_a_finished_run_ends_at_once(notemill: Notemill, stored: Store) -> None:
    assert notemill("status", "--watch") == 0
    assert "6 of 6 jobs" in notemill.out


def test_status_before_the_first_run_says_how_to_begin(notemill: Notemill) -> None:
    assert notemill("status") == 0
    assert "No runs yet." in notemill.out


def test_retry_makes_failed_jobs_pending_again(notemill: Notemill, stored: Store) -> None:
    assert notemill("retry", "--run", 1, "--reason", "timed_out") == 0
    assert "1 note owed." in notemill.out
    assert notemill.json("status", 1)["pending"] == 3
    assert notemill("retry") == 0
    assert "Nothing has failed so." in notemill.out


def test_cancel_cancels_waiting_jobs(notemill: Notemill) -> None:
    making.submit(Store(opened()), making.documents("Pain.", "Cough."))
    assert notemill("cancel", 1) == 0
    assert "2 waiting jobs cancelled" in notemill.out
    assert notemill.json("status", 1)["cancelled"] == 2


def test_sql_shows_rows_and_changes_nothing(notemill: Notemill, stored: Store) -> None:
    assert notemill("sql", "SELECT external_id, text FROM v_entities WHERE text LIKE '%Pain%'") == 0
    assert "a/1" in notemill.out
    assert "=Pain␛[2J" in notemill.out
    for statement in (
        "DELETE FROM documents",
        "DROP VIEW v_jobs",
        "ATTACH 'x' AS y",
        "PRAGMA user_version=3",
    ):
        assert notemill("sql", statement) == 2
        assert "only reading is allowed" in notemill.err
    assert notemill.json("status", 1)["total"] == 6


def test_sql_shows_no_more_rows_than_asked_and_says_so(notemill: Notemill, stored: Store) -> None:
    assert notemill("sql", "SELECT * FROM v_jobs", "--limit", 2) == 0
    assert "(2 rows; there are more, see --limit)" in notemill.out


def test_submit_prints_only_the_run_id_and_says_that_jobs_wait_for_a_worker(notemill: Notemill) -> None:
    notemill.write(one="Pain.", two="Cough.")
    assert notemill("submit", notemill.notes, "--search", "pain") == 0
    assert notemill.out == "1\n"
    assert "2 notes registered; 2 new jobs" in notemill.err
    assert "the jobs wait for a worker" in notemill.err


def test_prompts_shows_each_question_with_its_tokens_and_sends_nothing(
    notemill: Notemill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTEMILL_WEIGHTS", str(tiny.write_tiny_weights(notemill.home / "tiny")))
    notemill.write(one="Fever since Monday.")
    assert notemill("prompts", notemill.notes / "one.txt", "--search", "Is there pain?") == 0
    first, _, rest = notemill.out.partition("\n")
    assert re.match(r"search · 1 of 1 · \d+ tokens, \d+ of them the note's · decides \d+ tokens", first)
    assert rest.index("[INST]") < rest.index("Fever since Monday.") < rest.index("Query: Is there pain?")


def test_prepared_weights_are_not_prepared_again(notemill: Notemill) -> None:
    assert notemill("weights", "prepare") == 0
    assert "ready before" in notemill.err
    assert notemill.out == f"{notemill.home / 'weights'}\n"


def test_the_printed_labels_are_a_valid_labels_file(notemill: Notemill) -> None:
    assert notemill("labels") == 0
    printed = notemill.out
    (notemill.home / "mine.toml").write_text(printed)
    assert notemill("labels", notemill.home / "mine.toml") == 0
    assert notemill.out == printed


def test_config_masks_secrets_and_says_where_values_come_from(
    notemill: Notemill, monkeypatch: pytest.MonkeyPatch
) -> None:
    (notemill.home / "settings.toml").write_text("summary_words = 90\n")
    monkeypatch.setenv("NOTEMILL_REDIS_URL", "redis://:hush@host/0")
    settings = notemill.json("config")
    assert settings["redis_url"] == {"value": "redis://:***@host/0", "from": "environment"}
    assert settings["summary_words"] == {"value": "90", "from": str(notemill.home / "settings.toml")}
    assert settings["lease_seconds"]["from"] == "default"
    assert notemill("config") == 0
    assert "hush" not in notemill.out


def test_the_doctor_reports_no_problem_for_a_new_home_and_creates_no_database(notemill: Notemill) -> None:
    assert notemill("doctor") == 0
    assert "problem" not in notemill.out
    assert not (notemill.home / "notemill.db").exists()


def test_the_doctor_names_what_would_stop_a_run(notemill: Notemill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTEMILL_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("NOTEMILL_WEIGHTS", "mistral-7b")
    assert notemill("doctor") == 1
    assert "redis://127.0.0.1:1/0 does not answer → check NOTEMILL_REDIS_URL" in notemill.out
    assert "mistral-7b: not prepared yet" in notemill.out
    assert "weights prepare" in notemill.out


def test_a_database_of_a_newer_notemill_is_not_touched(notemill: Notemill, stored: Store) -> None:
    execute_on_database(notemill, "UPDATE notemill_schema SET version_num = 'from the future'")
    for verb in (["status"], ["db", "check"], ["doctor"]):
        assert notemill(*verb) == 1
        assert "made by a newer notemill" in notemill.err + notemill.out


def test_db_upgrade_creates_the_tables_and_db_check_confirms_them(notemill: Notemill) -> None:
    assert notemill("db", "check") == 1
    assert "type `notemill db upgrade`" in notemill.err
    assert notemill("db", "upgrade") == 0
    assert notemill("db", "check") == 0
    assert "has the tables and views of this notemill" in notemill.out


def execute_on_database(notemill: Notemill, statement: str) -> None:
    import sqlite3

    with sqlite3.connect(notemill.home / "notemill.db") as connection:
        connection.execute(statement)
