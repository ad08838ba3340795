"""`--explain` through the real commands, with a worker that runs a tiny network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console
from tiny import write_tiny_weights
from workshop import ROOT

from console.run.time_breakdown import advice, time_breakdown
from models.usage import RunUsage, Usage

if TYPE_CHECKING:
    from commands import Notemill

pytest_plugins = ("commands",)
SPENT = Usage(prefill_seconds=60, decode_seconds=30, idle_queued_seconds=20, idle_empty_seconds=4)


@pytest.fixture
def real(notemill: Notemill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Notemill:
    """A home whose workers load a real network."""
    weights = write_tiny_weights(tmp_path / "tiny")
    for name, value in {"WEIGHTS": weights, "QUANTIZATION": "none", "WORKER_THREADS": 4}.items():
        monkeypatch.setenv(f"NOTEMILL_{name}", str(value))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "80")
    return notemill


def test_run_and_status_explain_where_the_time_went(real: Notemill) -> None:
    real.write(one="Given aspirin for chest pain. Denies fever.", two="Pain in the left arm. No cough.")
    ask = ("run", real.notes, "--search", "fever", "--task", "entities", "--explain")
    spent = real.json(*ask)["spent"]
    _is_plausible(spent)
    assert real.json("status", "1", "--explain")["spent"] == spent
    real("status", "--explain")
    assert "tokens a second" in real.out
    assert max(map(len, real.out.splitlines())) <= 80
    real(*ask)
    assert "nothing was owed" in real.out


def _is_plausible(spent: dict[str, Any]) -> None:
    for name in ("load", "prefill", "decode", "constrain", "read", "compile", "wait", "ground", "store"):
        assert 0 < spent[f"{name}_seconds"] < 120, name
    assert spent["decided_places"] >= 4
    assert spent["decoded_tokens"] > 10
    assert spent["prefill_tokens"] > 100
    assert 0 < spent["shared_share"] < 1
    assert 1 < spent["rows_a_step"] <= 32
    assert spent["engine_seconds"] >= spent["prefill_seconds"] + spent["decode_seconds"]
    assert spent["spent_at"]


def test_a_run_that_uses_another_commands_worker_shows_its_figures(
    notemill: Notemill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTEMILL_LEASE_SECONDS", "5")
    notemill.write(one="Fever since Monday.")
    notemill.start("worker")
    _wait_for(notemill, "loaded")
    assert (
        notemill.json("run", notemill.notes, "--search", "fever", "--explain")["spent"]["store_seconds"] > 0
    )
    assert notemill.workers()


def _wait_for(notemill: Notemill, file: str) -> None:
    from workshop import until

    until(lambda: (notemill.home / file).exists())


def test_without_explain_no_figures_are_shown(notemill: Notemill) -> None:
    notemill.write(one="Fever since Monday.")
    assert "spent" not in notemill.json("run", notemill.notes, "--search", "fever")
    assert "spent" not in notemill.json("status", "1")


def test_advice_names_the_setting_where_the_engine_was_idle() -> None:
    assert "idle 18% of the time while notes were in hand" in " ".join(advice(SPENT))
    assert "NOTEMILL_WORKER_THREADS" in " ".join(advice(SPENT))


def test_a_run_that_nobody_has_worked_on_yet_says_so_instead_of_a_table_of_zeros() -> None:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(time_breakdown(RunUsage(Usage(), None), is_done=False, notes_an_hour=None))
    assert "No worker has said yet" in capture.get()
    assert "prefill" not in capture.get()
