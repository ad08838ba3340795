"""A short chaos run passes, and its result check counts lost, doubled and wrong answers."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from workshop import ROOT

from models.settings import Settings
from resilience.chaos.chaos_notes import SEARCHES, text_of
from resilience.chaos.chaos_run import KINDS
from resilience.chaos.client_faults import send_late_duplicates
from resilience.chaos.deterministic_engine import ChaosEngine
from resilience.chaos.fault_api import FaultNotPossibleError
from resilience.chaos.result_check import ChaosVerdict, _check_job, _expected_passages
from resilience.chaos.test_bed import ChaosTestBed
from worker.weights.task_config import task_config

if TYPE_CHECKING:
    from redis_server import RedisServer

pytest_plugins = ("redis_server",)
INNOCENT, POISONED = 3, 24


def test_a_short_run_loses_doubles_and_changes_no_answer() -> None:
    command = [
        sys.executable,
        "-m",
        "resilience.chaos",
        "--seed",
        "1",
        "--seconds",
        "4",
        "--faults",
        "4",
        "--json",
    ]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    figures = json.loads(run.stdout.splitlines()[-1])
    assert (figures["lost"], figures["doubled"], figures["wrong"]) == (0, 0, 0), run.stderr
    assert figures["jobs"] == 200
    assert figures["quarantined"] == 2 * figures["by_kind"]["poison_note"] > 0
    assert len(figures["by_kind"]) >= 3
    assert run.returncode == 0


def test_a_run_past_its_deadline_reports_open_jobs_and_logs_and_exits_with_3() -> None:
    command = [sys.executable, "-m", "resilience.chaos", "--seconds", "4", "--end-seconds", "0.1", "--json"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    match = re.match(r"the first answer: not ended within 0.1 s; logs in (\S+)\n", run.stderr)
    assert match, run.stderr
    assert (run.returncode, run.stdout) == (3, "")
    assert "jobs are open\n" in run.stderr
    assert "not submitted: instant-00000" in run.stderr
    assert {path.name for path in Path(match[1]).glob("*.log")} >= {"worker-0.log", "worker-1.log"}
    shutil.rmtree(match[1])


HANGING = """
import time
from types import SimpleNamespace
from resilience.chaos import run_deadline
run_deadline._GRACE_SECONDS = 0.1
stage = SimpleNamespace(folder="FOLDER", redis=SimpleNamespace(stop=lambda: print("stopped", flush=True)))
with run_deadline.force_exit_after(run_deadline.RunDeadline(0.0), stage):
    time.sleep(600)
"""


def test_a_run_that_hangs_is_ended_by_force_and_prints_its_stack() -> None:
    run = subprocess.run([sys.executable, "-c", HANGING], cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (3, "stopped\n")
    assert run.stderr.startswith("the run itself hangs; logs in FOLDER")
    assert 'File "<string>", line 8' in run.stderr


def test_the_reliability_page_names_all_faults_and_only_tests_that_exist() -> None:
    page = (ROOT / "docs" / "results" / "reliability.md").read_text("utf-8")
    assert set(KINDS) <= set(re.findall(r"`(\w+)`", page))
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", page)
    assert named
    assert [name for name in named if f"def {name}(" not in sources] == []


def test_late_messages_are_not_possible_while_redis_is_full(redis_server: RedisServer) -> None:
    redis_server.client.config_set("maxmemory", "1")
    with pytest.raises(FaultNotPossibleError):
        send_late_duplicates(cast(ChaosTestBed, SimpleNamespace(redis=redis_server)), random.Random(1))


def check_counts(number: int, *stored: dict[str, object]) -> tuple[int, int, int, int]:
    verdict = ChaosVerdict()
    _check_job(verdict, "instant", number, SEARCHES[0], list(stored), expected(number))
    assert verdict.quarantined or bool(verdict.lines) == bool(
        verdict.lost or verdict.doubled or verdict.wrong
    )
    return verdict.lost, verdict.doubled, verdict.wrong, verdict.quarantined


def expected(number: int) -> dict[tuple[int, int], float]:
    config = task_config(Settings(adapter="none"))
    return _expected_passages(text_of("instant", number), ChaosEngine(has_faults=False), config)[SEARCHES[0]]


def finished(number: int) -> dict[str, object]:
    passages = [
        {"start": start, "end": end, "score": score} for (start, end), score in expected(number).items()
    ]
    return {"status": "finished", "reason": None, "detail": "", "passages": passages}


def failed(reason: str) -> dict[str, object]:
    return {"status": "failed", "reason": reason, "detail": ""}


@pytest.mark.parametrize(
    ("number", "stored", "verdict"),
    [
        (INNOCENT, [finished(INNOCENT)], (0, 0, 0, 0)),
        (INNOCENT, [], (1, 0, 0, 0)),
        (INNOCENT, [{"status": "pending", "reason": None}], (1, 0, 0, 0)),
        (INNOCENT, [failed("killed_worker")], (1, 0, 0, 0)),
        (INNOCENT, [finished(INNOCENT)] * 2, (0, 1, 0, 0)),
        (INNOCENT, [finished(INNOCENT + 1)], (0, 0, 1, 0)),
        (POISONED, [failed("killed_worker")], (0, 0, 0, 1)),
        (POISONED, [failed("crashed")], (0, 0, 1, 0)),
        (POISONED, [finished(POISONED)], (0, 0, 1, 0)),
    ],
)
def test_the_result_check_counts_lost_doubled_wrong_and_quarantined(
    number: int, stored: list[dict[str, object]], verdict: tuple[int, int, int, int]
) -> None:
    assert check_counts(number, *stored) == verdict
