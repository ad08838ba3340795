"""Privacy canary: a random word in a note reaches the database and nothing else, even if jobs fail.

Redis itself reports all commands that it receives (MONITOR), so short-lived entries are seen too.
"""

from __future__ import annotations

import logging
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from redis import Redis
from workshop import Workshop

from models.documents import Document
from producer import submit
from worker.recipe import serving

_END = b"the end of it"
pytest_plugins = ("redis_server", "workshop")


@contextmanager
def everything_sent_to(redis: Redis) -> Iterator[list[bytes]]:
    """Yields a list that collects everything that clients send to the server."""
    sent: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(redis.connection_pool.connection_kwargs["path"])
        monitor.sendall(b"MONITOR\r\n")
        assert monitor.recv(5) == b"+OK\r\n"
        thread = threading.Thread(target=lambda: _receive(monitor, sent))
        thread.start()
        yield sent
        redis.echo(_END)
        thread.join()


def _receive(monitor: socket.socket, sent: list[bytes]) -> None:
    while _END not in b"".join(sent[-2:]) and (part := monitor.recv(1 << 20)):
        sent.append(part)


def process_titles(pid: int) -> str:
    """Returns what any user of the machine can read of a process and its threads."""
    folder = Path(f"/proc/{pid}")
    titles = [folder / "cmdline", folder / "comm", *folder.glob("task/*/comm")]
    return "".join(path.read_text(errors="replace") for path in titles)


JOB_LIMITS = {"time_limit_seconds": 2.0, "max_attempts": 1, "max_kills": 1, "lease_seconds": 2.0}


def process_with_all_failures(workshop: Workshop, word: str) -> tuple[Path, str]:
    """Processes one note for each way to fail and two invalid records.

    Returns the file of rejected records and the process titles."""
    settings, archive = workshop.settings(**JOB_LIMITS), workshop.folder / "archive.jsonl"
    notes = [f'{{"id": "{way}", "text": "{word} has a fever. {way}"}}' for way in ("CRASH", "BROKEN", "HANG")]
    archive.write_text("\n".join([*notes, f'{{"id": 1, "text": "{word}', f'{{"text": "{word}\\u0000"}}']))
    killer = Document(external_id="kill", text=f"{word} KILL")
    submission: dict[str, Any] = {"searches": f"{word}?", "settings": settings, "serving": serving(settings)}
    assert workshop.database
    rejects = submit(archive, tasks=("summary",), **submission).rejects_path
    assert rejects is not None
    worker = workshop.start(log_level="DEBUG", **JOB_LIMITS)
    titles = process_titles(worker.process.pid)
    workshop.until(lambda: is_over(workshop))
    submit([killer], tasks=(), **submission)
    worker.ends()
    workshop.start(log_level="DEBUG", **JOB_LIMITS)
    workshop.until(lambda: is_over(workshop))
    return rejects, titles


def is_over(workshop: Workshop) -> bool:
    return not {"pending", "running"} & set(workshop.statuses())


def test_a_word_of_a_note_is_in_the_database_and_nowhere_else(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    word, scratch = f"canary{secrets.token_hex(6)}", workshop.folder / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    caplog.set_level(logging.DEBUG)
    with everything_sent_to(workshop.redis) as sent:
        rejects, titles = process_with_all_failures(workshop, word)
    reasons = set(workshop.column("SELECT reason FROM jobs"))
    assert {"crashed", "timed_out", "killed_worker", "unparsable"} >= reasons >= {"crashed", "timed_out"}
    assert "killed_worker" in reasons
    stored = str(workshop.column("SELECT reason || detail FROM jobs WHERE reason IS NOT NULL"))
    trail = str(workshop.column("SELECT subject || actor FROM audit"))
    assert word not in stored + trail + titles + caplog.text + rejects.read_text()
    assert word.encode() not in b"".join(sent)
    assert b"notemill" in b"".join(sent)
    files_with_word = {
        path.name for path in workshop.folder.rglob("*") if path.is_file() and word in _text(path)
    }
    assert files_with_word <= {"archive.jsonl", "notemill.db", "notemill.db-wal"}
    assert word in str(workshop.column("SELECT text FROM texts"))


def test_a_worker_with_events_and_a_message_key_shows_neither_text_nor_key(workshop: Workshop) -> None:
    word, key = f"canary{secrets.token_hex(6)}", secrets.token_hex(16)
    with everything_sent_to(workshop.redis) as sent:
        workshop.register(f"{word} has a fever.", f"{word} CRASH", queries=(f"{word}?",))
        worker = workshop.start(log_level="DEBUG", max_attempts=1, message_key=SecretStr(key))
        workshop.stranger().control.enable_events()
        workshop.until(lambda: is_over(workshop))
        process_limits = Path(f"/proc/{worker.process.pid}/limits").read_text()
        output = process_titles(worker.process.pid)
        worker.signal(signal.SIGTERM)
        worker.ends()
    output += worker.log + b"".join(sent).decode("latin-1")
    assert word not in output
    assert key not in output
    core = next(line for line in process_limits.splitlines() if "core file" in line)
    assert core.split()[-3:-1] == ["0", "0"]


def test_our_processes_leave_no_core_dump(tmp_path: Path) -> None:
    code = "from models.host import disable_core_dumps as f; f(); import os, resource;"
    code += "print(resource.getrlimit(resource.RLIMIT_CORE), flush=True); os.abort()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=Path(__file__).parents[2])
    assert (done.stdout, done.returncode) == (b"(0, 0)\n", -signal.SIGABRT)


def _text(path: Path) -> str:
    return path.read_bytes().decode("latin-1")
