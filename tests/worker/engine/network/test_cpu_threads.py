"""Thread teams of torch, counted in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import write_tiny_weights

from worker.engine.network.cpu_threads import run_in_own_thread, single_core_pool

COUNTING = """
import os
import time

import torch
from worker.engine.network.cpu_threads import run_in_own_thread

torch.set_num_threads(2)

def product():
    return float((torch.ones(512, 512) @ torch.ones(512, 512))[0, 0])

def more_threads(compute):
    before = len(os.listdir("/proc/self/task"))
    assert compute() == 512
    time.sleep(1)  # nobody waits for the end of a thread
    return len(os.listdir("/proc/self/task")) - before
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")


def counted(script: str) -> None:
    subprocess.run(
        [sys.executable, "-c", COUNTING + script], cwd=Path(__file__).parents[4], check=True, timeout=300
    )


@linux
def test_a_computation_in_its_own_thread_leaves_no_team() -> None:
    counted("assert [more_threads(lambda: run_in_own_thread(product)), more_threads(product)] == [0, 1]")


@linux
def test_the_thread_that_loads_an_engine_has_no_team(tmp_path: Path) -> None:
    weights = write_tiny_weights(tmp_path)
    counted(f"""
from models.settings import Settings
from worker.engine.api import GenerateRequest, GenerateResult, Prompt
from worker.engine.network.local_engine import load

engine = load(Settings(weights={str(weights)!r}, quantization="none"))
[reply] = engine.answer([GenerateRequest(Prompt("A note.", "What?"), max_tokens=3)])
assert isinstance(reply, GenerateResult)
assert more_threads(product) == 1  # a new team, so loading had left none
engine.close()
""")


def test_an_error_in_its_own_thread_is_raised_to_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        run_in_own_thread(lambda: 1 / 0)


def test_a_single_core_pool_leaves_the_callers_cores() -> None:
    before = torch.get_num_threads()
    with single_core_pool(2, "one") as pool:
        assert [pool.submit(torch.get_num_threads).result() for _ in range(4)] == [1, 1, 1, 1]
    assert torch.get_num_threads() == before
