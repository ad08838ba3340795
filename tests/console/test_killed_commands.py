"""Commands killed at any moment and typed again give the right result. Real processes, real SIGKILLs.

A moment is a statement, a commit or a file that is opened, renamed or removed, counted from the start.
Moments are drawn ever later, until the command ends by itself.
"""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from alembic import command
from making import NOTE, QUESTIONS, claimed, documents, finished, record, submit
from sqlalchemy import Engine, event, text
from workshop import until

from console.manage import purge
from console.terminal.exit_status import run_to_exit
from models.migrations import schema_version
from models.queries.queries import Queries
from models.schema.database import connect, read_transaction, write_transaction
from models.security import key_rotation
from models.security.audit_trail import verify
from models.security.open_database import open_database
from models.settings import load_settings
from models.store.store import Store
from notemill.verbs import app

if TYPE_CHECKING:
    from commands import Notemill

pytest_plugins = ("commands",)


def _run_until(moment: int, arguments: list[str]) -> NoReturn:
    """Runs the command in this process and sends it SIGKILL at the given moment."""
    seen = 0

    def see(*_: Any, **__: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in ("before_cursor_execute", "commit"):
        event.listen(Engine, name, see)
    sys.addaudithook(lambda name, _: see() if name in ("open", "os.rename", "os.remove") else None)
    exit_status = 1
    try:
        exit_status = run_to_exit(app, arguments)
    finally:
        os._exit(exit_status)


def killed_until_it_ends(*arguments: object, growth: float = 1.7) -> int:
    """Repeats the command until it exits by itself with status 0; returns the number of kills."""
    draw, latest, kills = random.Random(1), 4.0, 0
    while True:
        moment = draw.randint(1, round(latest))
        words = [str(argument) for argument in arguments]
        # Not by multiprocessing: kombu has it close, in each child, the connections that commands of other
        # tests have left in this process, and that takes five seconds.
        process = os.fork()
        if not process:
            _run_until(moment, words)
        exit_status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if exit_status != -signal.SIGKILL:
            assert exit_status == 0
            return kills
        kills, latest = kills + 1, latest * growth


@pytest.fixture
def home(notemill: Notemill, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Notemill:
    monkeypatch.setenv("NOTEMILL_DATABASE_URL", store_url)
    return notemill


def answer(engine: Engine, count: int, prefix: str) -> int:
    """Registers `count` notes and answers one question of each; returns the run's id."""
    store = Store(engine)
    notes = (f"{prefix} {number}. {NOTE}" for number in range(count))
    run_id, registered = submit(store, documents(*notes, prefix=prefix), QUESTIONS)
    for id_ in registered.owed_document_ids:
        work = claimed(store, id_)
        assert record(store, work.jobs[0], finished(work.jobs[0], work.text))
    return run_id


def results(engine: Engine) -> list[dict[str, Any]]:
    return list(Queries(engine).results())


def test_a_purge_killed_at_any_moment_resumes_and_its_receipt_names_everything(
    home: Notemill, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(engine, 3, "stays")
    before = results(engine)
    run_id = answer(engine, 12, "goes")
    rejects = home.home / "rejects" / f"run-{run_id}.rejects.jsonl"
    rejects.parent.mkdir()
    rejects.write_text('{"external_id": "goes-99"}\n')
    monkeypatch.setattr(purge, "_BATCH_DOCUMENTS", 5)
    receipt = home.home / "receipt.json"
    assert killed_until_it_ends("purge", "--run", run_id, "--yes", "--receipt", receipt) >= 3
    assert results(engine) == before
    receipt_data = json.loads(receipt.read_text())
    assert receipt_data["external_ids"] == sorted(f"goes-{number}" for number in range(12))
    assert (
        receipt_data["rows"]["documents"],
        receipt_data["rows"]["jobs"],
        receipt_data["rows"]["texts"],
    ) == (12, 36, 12)
    assert not rejects.exists()
    assert list((home.home / "receipts").iterdir()) == []
    assert verify(engine).broken_at is None


def test_a_rekey_killed_at_any_moment_resumes_and_every_text_is_intact(
    home: Notemill, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTEMILL_ENCRYPTION_KEY", base64.b64encode(bytes(range(32))).decode())
    monkeypatch.setattr(key_rotation, "_ROWS_A_BATCH", 5)
    engine = open_database(load_settings())
    schema_version.check(engine)
    answer(engine, 12, "sealed")
    before = results(engine)
    assert killed_until_it_ends("db", "rekey") >= 3
    engine.dispose()
    again = open_database(load_settings())
    schema_version.check(again)
    assert results(again) == before
    with read_transaction(again) as connection:
        assert connection.scalars(text("SELECT COUNT(*) FROM data_keys WHERE retired_at IS NULL")).one() == 1
    again.dispose()


def test_an_upgrade_killed_at_any_moment_resumes_and_no_answer_changes(
    home: Notemill, engine: Engine
) -> None:
    answer(engine, 3, "note")
    before = results(engine)
    with write_transaction(engine) as connection:
        command.downgrade(schema_version._config(connection), "0004")
    assert schema_version.state(engine) == "behind"
    assert killed_until_it_ends("db", "upgrade", growth=3) >= 3
    assert schema_version.state(engine) == "current"
    assert results(engine) == before


def test_a_run_killed_at_any_moment_resumes_and_every_note_is_answered_once(
    notemill: Notemill,
) -> None:
    notemill.write(**{f"note{number}": f"Fever of {number} days." for number in range(8)})
    assert killed_until_it_ends("run", notemill.notes, "--search", "fever", growth=3) >= 3
    until(lambda: not notemill.workers() and not notemill.processes(), 60)
    engine = connect(load_settings().effective_database_url)
    assert [result["status"] for result in results(engine)] == ["finished"] * 8
    with read_transaction(engine) as connection:
        ends = connection.scalars(text("SELECT ended_as FROM attempts ORDER BY job_id")).all()
    assert ends.count("finished") == 8
    engine.dispose()
