"""The command line for tests: `notemill` in this process or in one of its own, on a home of the test's own.

In a test module: `pytest_plugins = ("commands",)`, then ask for `notemill`. Workers that it starts have
the stand-in for the network of `tests/support/stand_in`: search is answered, entities and summaries fail.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from workshop import ROOT, STAND_IN

from console.terminal.exit_status import run_to_exit
from notemill.verbs import app


@dataclass
class Notemill:
    """A home, notes, and the commands on them."""

    home: Path
    capture: pytest.CaptureFixture[str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def notes(self) -> Path:
        return self.home / "notes"

    def write(self, **notes: str) -> None:
        """Writes notes as text files; `write(one='Fever.')` creates the note `one.txt`."""
        self.notes.mkdir(exist_ok=True)
        for name, text in notes.items():
            (self.notes / f"{name}.txt").write_text(text, "utf-8")

    def __call__(self, *arguments: object) -> int:
        """Runs a verb in this process; returns its exit status."""
        self.capture.readouterr()
        status = run_to_exit(app, [str(argument) for argument in arguments])
        self.out, self.err = self.capture.readouterr()
        return status

    def json(self, *arguments: object) -> Any:
        """Runs a verb with --json and returns the parsed output; the verb must succeed."""
        assert self(*arguments, "--json") in (0, 1), self.err
        return json.loads(self.out)

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Starts a verb in its own process, as from a terminal, and does not wait for it.

        Restores SIGINT: a shell starts background jobs, such as these tests, with SIGINT ignored.
        """
        process = subprocess.Popen(
            [sys.executable, "-m", "notemill", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.started.append(process)
        return process

    @property
    def answers_asked(self) -> int:
        """The number of calls to the stand-in for the network."""
        path = self.home / "answered"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def processes(self) -> list[int]:
        """Ids of the processes that still run for this home."""
        listing = subprocess.run(["pgrep", "-f", str(self.home)], capture_output=True, text=True)
        return [int(pid) for pid in listing.stdout.split()]

    def workers(self) -> list[int]:
        """Celery processes with this home in their environment."""
        pids = []
        for folder in Path("/proc").iterdir():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
                if b"celery" in words[:4] and os.fsencode(self.home) in (folder / "environ").read_bytes():
                    pids.append(int(folder.name))
            except OSError:
                continue
        return pids


@pytest.fixture
def notemill(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Notemill]:
    # Not tmp_path: a socket's path may have 107 bytes only.
    home = Path(tempfile.mkdtemp(prefix="nm-"))
    weights = home / "weights"
    weights.mkdir()
    (weights / "config.json").write_text("{}")
    for name, value in {"HOME": home, "WEIGHTS": weights, "ADAPTER": "none", "WORKER_THREADS": 2}.items():
        monkeypatch.setenv(f"NOTEMILL_{name}", str(value))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(STAND_IN), str(ROOT)]))
    for name, value in {"FOLDER": home, "SECONDS": 0, "LOAD_SECONDS": 0}.items():
        monkeypatch.setenv(f"STAND_IN_{name}", str(value))
    made = Notemill(home, capsys)
    yield made
    for process in made.started:
        process.kill()
        process.communicate()
    shutil.rmtree(home, ignore_errors=True)  # a Redis that ends takes its socket away meanwhile
