"""`notemill run` on real parts: SQLite, the bundled Redis server, a worker with a stand-in network."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
from workshop import until

if TYPE_CHECKING:
    from commands import Notemill

pytest_plugins = ("commands",)
NOTE = "Fever since Monday. No cough. Lungs are clear."


def test_a_run_answers_the_notes_prints_a_report_and_stops_its_processes(notemill: Notemill) -> None:
    notemill.write(one=NOTE, two="Pain in the left arm.")
    assert notemill("run", notemill.notes, "--search", "signs of infection") == 0
    assert "Run 1: 2 notes in" in notemill.out
    assert "one.txt" in notemill.out
    assert "show one.txt" in notemill.out
    until(lambda: not notemill.workers(), 5)
    assert not (notemill.home / "redis.sock").exists()


def test_the_same_run_again_asks_the_network_nothing_and_starts_no_worker(notemill: Notemill) -> None:
    notemill.write(one=NOTE)
    notemill("run", notemill.notes, "--search", "fever")
    asked, log = notemill.answers_asked, (notemill.home / "logs" / "worker.log").read_text()
    began = time.monotonic()
    assert notemill("run", notemill.notes, "--search", "fever") == 0
    assert time.monotonic() - began < 2
    assert "every answer was there already" in notemill.out
    assert notemill.answers_asked == asked
    assert (notemill.home / "logs" / "worker.log").read_text() == log


def test_another_task_on_the_same_notes_does_only_that_task(notemill: Notemill) -> None:
    notemill.write(one=NOTE)
    notemill("run", notemill.notes, "--search", "fever")
    report = notemill.json("run", notemill.notes, "--search", "fever", "--search", "pain")
    assert (report["new_jobs"], report["known_jobs"]) == (1, 1)
    assert report["jobs"]["finished"] == 2


def test_failed_jobs_are_counted_by_reason_and_end_in_exit_status_1(notemill: Notemill) -> None:
    notemill.write(one=NOTE)
    assert notemill("run", notemill.notes, "--task", "entities") == 1
    assert "Failed, unparsable: 1" in notemill.out
    assert "retry --run 1" in notemill.out


def test_refused_records_are_counted_and_listed_in_the_rejects_file(notemill: Notemill) -> None:
    notemill.write(one=NOTE, empty="  ")
    rejects = notemill.home / "mine.jsonl"
    report = notemill.json("run", notemill.notes, "--search", "fever", "--rejects", rejects)
    assert (report["documents"], report["refused"]) == (1, 1)
    assert report["rejects_path"] == str(rejects)
    assert "no text" in rejects.read_text()


def test_a_limit_takes_the_first_records_only(notemill: Notemill) -> None:
    notemill.write(one=NOTE, three="Pain.", two="Cough.")
    assert notemill.json("run", notemill.notes, "--search", "fever", "--limit", "2")["documents"] == 2


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_releases_its_jobs_and_the_next_run_continues(
    notemill: Notemill, monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    notemill.write(one=NOTE, two="Pain in the left arm.")
    monkeypatch.setenv("STAND_IN_SECONDS", "60")
    monkeypatch.setenv("NOTEMILL_STOP_SECONDS", "1")
    process = notemill.start("run", notemill.notes, "--search", "fever")
    until(lambda: notemill.answers_asked)
    process.send_signal(number)
    _, words = process.communicate(timeout=90)
    assert process.returncode == status
    assert "the same command continues from there" in words
    assert not notemill.workers()
    monkeypatch.setenv("STAND_IN_SECONDS", "0")
    assert notemill.json("run", notemill.notes, "--search", "fever")["jobs"]["finished"] == 2


def test_a_killed_run_leaves_no_process_and_the_next_run_succeeds(
    notemill: Notemill, monkeypatch: pytest.MonkeyPatch
) -> None:
    notemill.write(one=NOTE)
    monkeypatch.setenv("STAND_IN_SECONDS", "60")
    monkeypatch.setenv("NOTEMILL_STOP_SECONDS", "0")
    process = notemill.start("run", notemill.notes, "--search", "fever")
    until(lambda: notemill.answers_asked)
    process.kill()
    until(lambda: not notemill.workers() and not notemill.processes(), 30)
    monkeypatch.setenv("STAND_IN_SECONDS", "0")
    assert notemill.json("run", notemill.notes, "--search", "fever")["jobs"]["finished"] == 1


def test_a_killed_worker_is_restarted_and_no_answer_is_duplicated(
    notemill: Notemill, monkeypatch: pytest.MonkeyPatch
) -> None:
    notemill.write(**{f"note{number}": f"Fever of {number} days." for number in range(6)})
    monkeypatch.setenv("STAND_IN_SECONDS", "0.4")
    process = notemill.start("run", notemill.notes, "--search", "fever", "--json")
    until(lambda: notemill.answers_asked > 1)
    os.kill(notemill.workers()[0], signal.SIGKILL)
    out, words = process.communicate(timeout=60)
    assert process.returncode == 0, words
    assert '"finished": 6' in out


def test_a_worker_that_cannot_start_is_given_up_and_the_error_shows_its_message_and_log(
    notemill: Notemill,
) -> None:
    notemill.write(one=NOTE)
    (notemill.home / "cannot_load").touch()
    assert notemill("run", notemill.notes, "--search", "fever") == 1
    assert "the worker died 3 times" in notemill.err
    assert "there are no weights here" in notemill.err
    assert str(notemill.home / "logs" / "worker.log") in notemill.err
    assert "Traceback" not in notemill.err
    assert not notemill.workers()


def test_two_runs_at_once_share_one_redis_and_one_worker_and_both_succeed(
    notemill: Notemill, monkeypatch: pytest.MonkeyPatch
) -> None:
    notemill.write(one=NOTE, two="Pain in the left arm.")
    monkeypatch.setenv("STAND_IN_SECONDS", "0.5")
    first = notemill.start("run", notemill.notes, "--search", "fever")
    second = notemill.start("run", notemill.notes, "--search", "pain")
    most = 0
    while first.poll() is None or second.poll() is None:
        most = max(most, len(notemill.workers()))
        time.sleep(0.1)
    assert (first.returncode, second.returncode) == (0, 0)
    assert most == 1


def test_no_word_of_a_note_is_in_a_log_or_on_standard_error(notemill: Notemill) -> None:
    notemill.write(canary="CANARY-7f3a with fever. CRASH here.")
    notemill("run", notemill.notes, "--search", "secret QUERY-9b1c")
    logs = "".join(path.read_text() for path in (notemill.home / "logs").iterdir())
    for words in (logs, notemill.err):
        assert "CANARY" not in words
        assert "QUERY-9b1c" not in words
