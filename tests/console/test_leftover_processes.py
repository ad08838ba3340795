"""Unfinished files of a killed process contain note text; the next process removes them."""

from __future__ import annotations

import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from commands import Notemill
from making import NOTE, documents, submit
from workshop import ROOT, until

from exports.atomic_files import whole_file, whole_folder
from exports.scratch_folders import remove_left_behind, scratch_folder
from models.schema.database import connect
from models.settings import load_settings
from models.store.store import Store

pytest_plugins = ("commands",)
WORD = f"canary{secrets.token_hex(6)}"


def killed_while_writing(kind: str, path: Path) -> None:
    """Starts an export and kills it when a word of a note is on the disk."""
    code = f"""
import sys, time
from pathlib import Path
from exports.atomic_files import whole_file, whole_folder
with {kind}(Path(sys.argv[1])) as made:
    file = (made / "note.txt").open("wb") if "{kind}" == "whole_folder" else made
    file.write(b"{WORD}")
    file.flush()
    print("written", flush=True)
    time.sleep(60)
"""
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)


def files_with(folder: Path, word: str) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and word.encode() in path.read_bytes()]


@pytest.mark.parametrize("kind", ["whole_file", "whole_folder"])
def test_an_export_that_was_killed_is_removed_by_the_next_one(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "out [1]*.jsonl"
    killed_while_writing(kind, path)
    assert len(files_with(tmp_path, WORD)) == 1
    assert not path.exists()
    if kind == "whole_file":
        with whole_file(path) as file:
            file.write(b"new")
    else:
        with whole_folder(path) as folder:
            (folder / "note.txt").write_text("new")
    assert files_with(tmp_path, WORD) == []
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_files_that_another_process_is_writing_are_left_alone(tmp_path: Path) -> None:
    with scratch_folder(tmp_path, ".out") as folder:
        (folder / "note.txt").write_text(WORD)
        with scratch_folder(tmp_path, ".out"):
            assert files_with(tmp_path, WORD) == [folder / "note.txt"]
    assert list(tmp_path.iterdir()) == []


def test_foreign_folders_and_links_are_not_removed(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (tmp_path / ".out.abc").mkdir()
    (tmp_path / ".out.abc.unfinished").symlink_to(theirs)
    remove_left_behind(tmp_path, ".out")
    assert {entry.name for entry in tmp_path.iterdir()} == {"theirs", ".out.abc", ".out.abc.unfinished"}


def damaged(notemill: Notemill) -> None:
    """Creates a store and damages the database page that holds the word."""
    engine = connect(load_settings().effective_database_url)
    submit(Store(engine), documents(f"{WORD} {NOTE}"))
    engine.dispose()
    database = notemill.home / "notemill.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = database.read_bytes()
    page = content.index(WORD.encode()) // 4_096 * 4_096
    database.write_bytes(content[: page + 8] + b"\xff" * 40 + content[page + 48 :])


@pytest.mark.parametrize(
    "verb", [("purge", "--document", "note-0", "--yes"), ("db", "rekey"), ("show", "#1")]
)
def test_a_verb_that_fails_on_a_damaged_database_prints_no_note_text(
    verb: tuple[str, ...], notemill: Notemill, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert notemill("db", "upgrade") == 0
    damaged(notemill)
    key = notemill.home / "key"
    key.write_bytes(b"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n")
    monkeypatch.setenv("NOTEMILL_ENCRYPTION_KEY_FILE", str(key))
    assert notemill(*verb) != 0
    assert WORD not in notemill.out + notemill.err
    assert "fever" not in notemill.out + notemill.err


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.15])
def test_a_killed_upgrade_is_completed_by_the_next_one(notemill: Notemill, seconds: float) -> None:
    database = notemill.home / "notemill.db"
    process = notemill.start("db", "upgrade")
    until(lambda: process.poll() is not None or (database.exists() and database.stat().st_size > 0))
    time.sleep(seconds)
    process.kill()
    process.wait()
    assert notemill("db", "upgrade") == 0, notemill.err
    store = Store(connect(load_settings().effective_database_url))
    assert submit(store, documents(NOTE))[1].documents == 1
