"""The audit trail: each action adds a row, no row can be changed, and tampering is detected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import Notemill
from making import NOTE, documents, submit
from sqlalchemy import Engine, text

from models.migrations import schema_version
from models.schema.database import DatabaseError, connect, write_transaction
from models.security import audit_trail
from models.security.audit_trail import Action
from models.settings import load_settings
from models.store.store import Store

pytest_plugins = ("commands",)


def trail(engine: Engine, actions: int = 4) -> str:
    """Adds rows; returns the hash of the last one."""
    store = Store(engine, actor="somebody")
    for number in range(actions):
        store.note(Action.SHOW, document=number)
    return audit_trail.verify(engine).head


def tamper(engine: Engine, statement: str) -> None:
    """Changes rows as a user who may disable the triggers; on SQLite, anyone with the file may."""
    with write_transaction(engine) as connection:
        if engine.dialect.name == "sqlite":
            connection.execute(text("DROP TRIGGER audit_no_update"))
            connection.execute(text("DROP TRIGGER audit_no_delete"))
        else:
            connection.execute(text("ALTER TABLE audit DISABLE TRIGGER ALL"))
        connection.execute(text(statement))


def test_the_database_refuses_to_change_or_remove_a_row(engine: Engine) -> None:
    trail(engine)
    for statement in ("UPDATE audit SET actor = 'me'", "DELETE FROM audit"):
        with pytest.raises(DatabaseError), write_transaction(engine) as connection:
            connection.execute(text(statement))
    assert audit_trail.verify(engine).rows == 4


def test_a_deleted_row_is_detected(engine: Engine) -> None:
    trail(engine)
    tamper(engine, "DELETE FROM audit WHERE number = 2")
    assert audit_trail.verify(engine).broken_at == 2


@pytest.mark.parametrize("column", ["at", "actor", "database_user", "action", "subject", "previous_hash"])
def test_a_changed_row_is_detected(column: str, tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'notemill.db'}")
    schema_version.upgrade(engine)
    trail(engine)
    tamper(engine, f"UPDATE audit SET {column} = 'x' WHERE number = 2")
    assert audit_trail.verify(engine).broken_at == 2


def test_a_truncated_trail_is_detected_by_a_hash_noted_before(engine: Engine) -> None:
    head = trail(engine)
    trail(engine, 1)
    assert audit_trail.verify(engine, head).has_seen
    tamper(engine, "DELETE FROM audit WHERE number >= 4")
    verdict = audit_trail.verify(engine, head)
    assert (verdict.broken_at, verdict.has_seen) == (None, False)


def test_concurrent_rows_form_one_chain(engine: Engine, run_at_once: Any) -> None:
    run_at_once(lambda number: Store(engine).note(Action.SHOW, document=number), 8)
    verdict = audit_trail.verify(engine)
    assert (verdict.rows, verdict.broken_at) == (8, None)


def test_an_action_that_is_rolled_back_leaves_no_row(store: Store, engine: Engine) -> None:
    with pytest.raises(Exception, match="no run 9"):
        store.cancel(9)
    assert audit_trail.verify(engine).rows == 0


def test_submit_retry_and_cancel_are_audited(store: Store, engine: Engine) -> None:
    run_id, _ = submit(store, documents(NOTE))
    store.cancel(run_id)
    store.retry(run_id=run_id, reason=None)
    rows = [(entry.action, json.loads(entry.subject)["run"]) for entry in audit_trail.entries(engine)]
    assert rows == [("submit", run_id), ("cancel", run_id), ("retry", run_id)]


def test_reads_are_audited_without_what_was_read(notemill: Notemill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTEMILL_ACTOR", "Dr. Weiß")
    assert notemill("db", "upgrade") == 0
    submit(Store(connect(load_settings().effective_database_url)), documents("canary-77 has pain."))
    notemill("show", "note-0")
    notemill("results", "--format", "csv", "--output", notemill.home / "out.csv")
    notemill("sql", "SELECT text FROM texts WHERE text LIKE 'canary%'")
    trail_of = notemill.json("audit", "show")
    assert [entry["action"] for entry in trail_of] == ["submit", "show", "results", "sql"]
    assert {entry["actor"] for entry in trail_of[1:]} == {"Dr. Weiß"}
    assert "canary" not in str(trail_of)


def test_audit_verify_says_where_it_is_broken(notemill: Notemill) -> None:
    assert notemill("db", "upgrade") == 0
    engine = connect(load_settings().effective_database_url)
    head = trail(engine)
    assert notemill("audit", "verify") == 0
    assert head in notemill.out
    assert notemill("audit", "verify", "--head", "f" * 64) == 1
    tamper(engine, "UPDATE audit SET actor = 'me' WHERE number = 3")
    assert notemill("audit", "verify") == 1
    assert "row 3" in notemill.out
