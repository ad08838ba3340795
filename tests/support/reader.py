"""A reader of the docs: a home with answered notes, a worker, and the files that the pages mention.

In a test module: `pytest_plugins = ("redis_server", "reader")`, then ask for `reader`; a module shares one.
The worker is real and has the stand-in for the network of `tests/support/stand_in`, which only scores.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import making
import pytest
from redis_server import RedisServer
from workshop import ROOT, STAND_IN, until

from console.terminal.exit_status import run_to_exit
from models.answers import Assertion
from models.corrections import Correction, MentionKey, Verdict
from models.documents import Document, text_sha256
from models.migrations import schema_version
from models.schema.database import connect
from models.settings import load_settings
from models.store.store import Store
from notemill.verbs import app
from worker.queue.worker_command import worker_command

NOTES = {
    "discharge.txt": "Discharge summary. No fever today. Signs of infection: none. Aspirin 100 mg daily.\n",
    "ward.txt": "Chest pain since Monday, no cough.\nMetoprolol 25 mg.\n",
}
_PLAN = 'sources = ["notes"]\ntasks = []\nsearches = ["signs of infection"]\nuntil = "06:00"\n'


@dataclass
class Reader:
    """Runs commands in its own folder; `out` and `err` hold their output."""

    folder: Path
    environment: dict[str, str]
    out: str = ""
    err: str = ""
    recipes: list[str] = field(default_factory=list)

    def __call__(self, *words: str) -> int:
        """Runs `notemill WORDS` and returns its exit status."""
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
        with self.there(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = run_to_exit(app, list(words))
        self.out, self.err = (_read(stream) for stream in (out, err))
        return status

    @contextlib.contextmanager
    def there(self) -> Iterator[None]:
        """Enters the folder with the home's settings."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            for name, value in self.environment.items():
                patch.setenv(name, value)
            yield

    def moved(self, folder: Path) -> Reader:
        """Copies the folder and returns a reader there, without the worker."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Reader(folder, self.environment | {"NOTEMILL_HOME": str(folder / "home")})


def _read(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


@pytest.fixture(scope="module")
def reader(_session_redis: RedisServer) -> Iterator[Reader]:
    folder = Path(tempfile.mkdtemp(prefix="nm-"))
    made = Reader(folder, _environment(folder, _session_redis.url))
    _write_files(folder)
    with made.there():
        settings = load_settings()
        engine = connect(settings.effective_database_url)
        schema_version.upgrade(engine)
        with (folder / "worker.log").open("wb") as log:
            worker = subprocess.Popen(worker_command(settings), stdout=log, stderr=log)
    try:
        until(lambda: " serves " in (folder / "worker.log").read_text(), 20)
        _answer(made, Store(engine))
        yield made
    finally:
        worker.kill()
        worker.wait()
        engine.dispose()
        shutil.rmtree(folder)


def _environment(folder: Path, redis_url: str) -> dict[str, str]:
    settings = {"HOME": str(folder / "home"), "REDIS_URL": redis_url, "WEIGHTS": str(folder / "weights")}
    forms = {"ADAPTER": str(ROOT / "worker/adapters/smollm2-135m"), "QUANTIZATION": "none"}
    stand_in = {"FOLDER": str(folder), "SECONDS": "0", "LOAD_SECONDS": "0"}
    return {
        **{f"NOTEMILL_{name}": value for name, value in (settings | forms).items()},
        **{f"STAND_IN_{name}": value for name, value in stand_in.items()},
        "PYTHONPATH": os.pathsep.join(map(str, (STAND_IN, ROOT))),
    }


def _write_files(folder: Path) -> None:
    for name in ("notes", "weights"):
        (folder / name).mkdir()
    (folder / "weights" / "config.json").write_text("{}")
    for name, text in NOTES.items():
        (folder / "notes" / name).write_text(text)
    (folder / "plan.toml").write_text(_PLAN)
    (folder / "other.toml").write_text("window_tokens = 64\n")
    for name in ("examples", "worker"):
        (folder / name).symlink_to(ROOT / name)
    with (folder / "NOTE.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["note_id", "note_text"], [1, "Cough."]])
    for name, table in (("cdm.db", "note (note_id, note_text)"), ("mimic.db", "discharge (note_id, text)")):
        database = sqlite3.connect(folder / name)
        database.execute(f"CREATE TABLE {table}")
        database.execute(f"INSERT INTO {table.partition(' ')[0]} VALUES (7, 'Fever.')")
        database.commit()
        database.close()


def _answer(made: Reader, store: Store) -> None:
    """Creates run 1 with a recipe that no worker serves, and run 2 with the worker's recipe and all tasks."""
    notes = [Document(external_id=name, text=text) for name, text in NOTES.items()]
    making.submit(store, notes)
    for number in range(len(NOTES)):
        making.work_off(store, number + 1)
    tasks = ("--task", "entities", "--task", "summary", "--search", "Is there pain?")
    assert made("run", "notes", *tasks, "--quiet") == 0, made.err
    assert made("sql", "SELECT DISTINCT recipe FROM v_jobs WHERE task = 'entities'") == 0
    for name, word in (("discharge.txt", "Aspirin"), ("ward.txt", "Metoprolol")):
        store.correct(text_sha256(NOTES[name]), [_added(NOTES[name].index(word), word)])
    made.recipes = re.findall(r"[0-9a-f]{16}", made.out)


def _added(start: int, word: str) -> Correction:
    """A correction that adds a medication mention; the stand-in finds none."""
    place = {"start": start, "end": start + len(word)}
    details = {"label": "medication", "assertion": Assertion.PRESENT, "corrected_by": "ada"}
    return Correction(
        verdict=Verdict.ADDED, found=MentionKey(*place.values(), "medication"), **place, **details
    )
