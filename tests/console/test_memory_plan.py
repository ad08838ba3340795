"""The doctor's memory plan, and the two benchmarks around it, as a person types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import tiny
from workshop import ROOT

from benchmarks import memory, plan

if TYPE_CHECKING:
    from commands import Notemill

pytest_plugins = ("commands",)
CARD = '#!/bin/sh\necho "NVIDIA GeForce RTX 3060 Ti, 7854"\n'


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake `nvidia-smi` that reports one card of 8 GB."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nvidia-smi").write_text(CARD)
    (tmp_path / "bin" / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs `benchmarks.plan --json` on tiny weights; returns the object of its last line."""
    monkeypatch.setenv("NOTEMILL_WEIGHTS", str(tiny.write_tiny_weights(tmp_path / "tiny")))

    def run(*arguments: object) -> dict[str, Any]:
        assert plan.main(plan.parser().parse_args([*map(str, arguments), "--json"])) == 0
        report: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
        return report

    return run


def test_a_plan_for_a_card_needs_neither_the_card_nor_the_weights(notemill: Notemill) -> None:
    assert notemill("doctor", "--plan", "mistral-7b", "--gib", 8) == 0
    assert "weights                     3.85" in notemill.out
    assert "cached tokens" in notemill.out
    assert "windows of 350 tokens side by side" in notemill.out


def test_a_card_that_is_too_small_is_exit_status_1_and_says_what_to_type(notemill: Notemill) -> None:
    assert notemill("doctor", "--plan", "mistral-7b", "--gib", 4) == 1
    assert "does not fit: " in notemill.out
    assert "NOTEMILL_WEIGHTS=smollm2-135m" in notemill.out


def test_a_plan_in_json_has_every_component(notemill: Notemill) -> None:
    report = notemill.json("doctor", "--plan", "mistral-7b", "--gib", 8)
    assert report["fits"]
    assert report["cached_tokens"] >= 16_000
    assert {"weights_bytes", "adapter_bytes", "activation_bytes", "slack_bytes"} <= set(report)


def test_the_doctor_plans_for_the_installed_card(
    notemill: Notemill, card: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTEMILL_WEIGHTS", "mistral-7b")
    notemill("doctor")
    assert "GPU          NVIDIA GeForce RTX 3060 Ti, 8.2 GB free" in notemill.out
    assert "memory       GPU, mistral-7b in 7.7 GiB: weights 3.85" in notemill.out


def test_a_size_without_weights_is_exit_status_2(notemill: Notemill) -> None:
    assert notemill("doctor", "--gib", 8) == 2
    assert "--plan WEIGHTS" in notemill.err


def test_the_doctor_says_when_the_size_of_weights_is_unknown(notemill: Notemill) -> None:
    assert notemill("doctor") == 0
    assert "lacks vocab_size" in notemill.out


def test_the_archive_plan_counts_the_pipelines_own_requests(planned, tmp_path: Path) -> None:
    rates = tmp_path / "rates.json"
    rates.write_text('a table\n{"notes_per_hour": {"ours": 500, "naive": 40}, "tokens_a_note": 600}\n')
    arguments = ("--rates", rates, "--notes", 1_000, "--tokens", 300, "--sample", 1, "--eur-per-hour", 2)
    report = planned(*arguments)
    assert report["hours"] == pytest.approx(1.0)
    assert report["ways"][0]["eur"] == pytest.approx(2.0)
    assert report["read_tokens_a_note"] > 2 * 300
    assert report["ways"][2]["hours"] == pytest.approx(report["hours_on_one_card"] / 2, rel=0.1)


def test_rates_without_tokens_per_note_are_an_error_that_says_what_to_type(planned, tmp_path: Path) -> None:
    (tmp_path / "rates.json").write_text('{"notes_per_hour": 500}')
    with pytest.raises(SystemExit, match="--rates-tokens N"):
        planned("--rates", tmp_path / "rates.json")


def test_the_archive_plan_measures_rates_that_are_not_given(planned) -> None:
    report = planned("--tokens", 60, "--sample", 1, "--notes", 10)
    assert report["read_tokens_per_second"] > 0
    assert report["ways"][0]["is_measured"]
    assert not report["ways"][1]["is_measured"]


@pytest.mark.parametrize("name", ["memory", "plan"])
def test_the_help_of_a_benchmark_has_an_example(name: str) -> None:
    command = [sys.executable, "-m", f"benchmarks.{name}", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert f"python -m benchmarks.{name}" in done.stdout


def test_the_memory_benchmark_confirms_the_plan_in_json(monkeypatch, capsys) -> None:
    sizes = {"hidden_size": 256, "intermediate_size": 896, "head_dim": 32}
    monkeypatch.setattr(memory, "SMALL", memory.SMALL | sizes)
    monkeypatch.setattr(memory, "MISTRAL_7B", memory.SMALL)
    assert memory.main(8, 256, as_json=True) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["kv_tokens_in_8_gib"] >= 16_000
    assert abs(report["loaded_with_adapter_off"]) <= 0.03
