"""Freed memory under the thresholds of glibc's malloc, measured in processes of their own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="thresholds of glibc")

USE_AND_FREE = """
from pathlib import Path
from threading import Barrier, Thread
from worker.engine.memory import malloc

def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

def use():  # in the thread's own arena; nothing stays in use
    blocks = [b"x" * 60_000 for _ in range(500)]
    all_have_theirs.wait()

{first}
del [bytes(2**24)][:]  # a large freed block raises glibc's thresholds
before = resident_mib()
all_have_theirs = Barrier(4)
threads = [Thread(target=use) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(resident_mib() - before)
"""


def kept_mib(first: str) -> float:
    command = [sys.executable, "-c", USE_AND_FREE.format(first=first)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_memory_freed_by_threads_returns_to_the_system() -> None:
    assert kept_mib("malloc.return_freed_memory()") < 30
    assert kept_mib("") > 60


def test_an_engine_on_a_cpu_keeps_freed_memory() -> None:
    assert kept_mib("malloc.return_freed_memory(); malloc.keep_freed_memory()") > 60
