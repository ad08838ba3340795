"""Engine deadline: the wait for an answer ends at the time limit or when the worker stops."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from stand_in.answering import StandIn

from worker.engine.api import Choice, Prompt, ScoreRequest
from worker.queue import engine_deadline
from worker.queue.engine_deadline import DeadlineEngine, NoThreadError, StoppedError, TimedOutError
from worker.queue.shutdown import ShutdownRequest


def score_requests(document: str) -> list[ScoreRequest]:
    return [ScoreRequest(Prompt(document, "Is it so?"), document, (Choice(("yes", "no"), (len(document),)),))]


def test_an_answer_in_time_is_the_engines_own(tmp_path: Path) -> None:
    limited = DeadlineEngine(StandIn(tmp_path), seconds=9, shutdown=ShutdownRequest())
    assert limited.answer(score_requests("a note"))[0].prompt_tokens == 2
    assert (limited.count_tokens("four"), limited.context_tokens) == (2, 4_000)


def test_an_answer_that_does_not_come_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    limited = DeadlineEngine(StandIn(tmp_path, seconds=60), seconds=0.1, shutdown=ShutdownRequest())
    with pytest.raises(TimedOutError):
        limited.answer(score_requests("a note"))


def test_after_the_deadline_the_engine_is_not_asked(tmp_path: Path) -> None:
    limited = DeadlineEngine(StandIn(tmp_path), seconds=0, shutdown=ShutdownRequest())
    with pytest.raises(TimedOutError):
        limited.answer(score_requests("a note"))
    assert not (tmp_path / "answered").exists()


def test_time_between_two_requests_does_not_count_against_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = DeadlineEngine(StandIn(tmp_path), seconds=60, shutdown=ShutdownRequest())
    limited.answer(score_requests("a note"))
    an_hour_later = time.monotonic() + 3_600  # as after a record while the database was away
    monkeypatch.setattr(engine_deadline, "time", SimpleNamespace(monotonic=lambda: an_hour_later))
    assert limited.answer(score_requests("a note"))


def test_an_error_of_the_engine_is_raised_to_the_caller(tmp_path: Path) -> None:
    limited = DeadlineEngine(StandIn(tmp_path), seconds=9, shutdown=ShutdownRequest())
    with pytest.raises(ValueError, match="cannot read"):
        limited.answer(score_requests("CRASH"))


def test_a_wait_ends_at_once_at_an_immediate_shutdown(tmp_path: Path) -> None:
    shutdown, started = ShutdownRequest(), time.monotonic()
    threading.Timer(0.1, shutdown.expedite).start()
    with pytest.raises(StoppedError):
        DeadlineEngine(StandIn(tmp_path, seconds=60), seconds=60, shutdown=shutdown).answer(
            score_requests("a note")
        )
    assert time.monotonic() - started < 10


def test_a_thread_that_never_starts_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        engine_deadline._thread, "start_new_thread", lambda *_: 0
    )  # as with no memory for its frames
    monkeypatch.setattr(engine_deadline, "_LONGEST_START_SECONDS", 0.1)
    with pytest.raises(NoThreadError):
        DeadlineEngine(StandIn(tmp_path), seconds=60, shutdown=ShutdownRequest()).answer(
            score_requests("a note")
        )


def test_the_first_shutdown_request_lets_documents_finish_and_the_second_does_not() -> None:
    shutdown = ShutdownRequest()
    shutdown.request()
    assert (shutdown.is_requested, shutdown.is_immediate) == (True, False)
    shutdown.request()
    shutdown.request()
    assert (shutdown.is_requested, shutdown.is_immediate) == (True, True)
