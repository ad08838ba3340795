"""`notemill purge` erases data everywhere, and the receipt lists what was erased."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from commands import Notemill
from making import ENTITIES, NOTE, QUESTIONS, a_serving, documents, recipes_of, submit, work_off
from sqlalchemy import Engine, func, select, text

from models.documents import Document
from models.schema import answer_tables
from models.schema.database import connect, read_transaction, write_transaction
from models.security.secure_overwrite import overwrite
from models.settings import load_settings
from models.store.erasure import Erased, Erasure
from models.store.store import Store
from producer.submission.redis_publisher import RedisPublisher, queue_length

pytest_plugins = ("commands", "redis_server")
CANARY = "canary-4f1c9e"


def rows(engine: Engine) -> dict[str, int]:
    """Row counts by table, without the audit trail and recipes."""
    tables = answer_tables.Base.metadata.sorted_tables
    others = ("audit", "recipes", "servings", "serving_bases")
    with read_transaction(engine) as connection:
        counts = {t.name: connection.scalar(select(func.count()).select_from(t)) or 0 for t in tables}
    return {name: count for name, count in counts.items() if count and name not in others}


@pytest.fixture
def sqlite_file(request: pytest.FixtureRequest) -> Path:
    """An SQLite file with empty tables, to be copied."""
    return Path(request.getfixturevalue("_sqlite_template"))


def erase(store: Store, **criteria: Any) -> Erased:
    erased = Erased()
    while (batch := store.erase(Erasure(**criteria), limit=2)).rows:
        erased = erased + batch
    return erased


def answered(store: Store, *texts: str, prefix: str = "note") -> int:
    """Registers the notes as a run and answers every question; returns the run's id."""
    run_id, registered = submit(store, documents(*texts, prefix=prefix), QUESTIONS)
    for id_ in registered.owed_document_ids:
        work_off(store, id_)
    return run_id


def test_no_row_of_an_erased_document_remains(store: Store, engine: Engine) -> None:
    answered(store, NOTE)
    erased = erase(store, document="note-0")
    assert rows(engine) == {}
    assert erased.rows | {"documents": 1, "texts": 1, "jobs": 3, "entities": 1, "passages": 1} == erased.rows


def test_erasing_one_document_keeps_the_others_intact(store: Store, engine: Engine) -> None:
    answered(store, NOTE)
    alone = rows(engine)
    answered(store, "Another note.", "And one more.", prefix="other")
    erase(store, document="other-0")
    erase(store, document="other-1")
    assert rows(engine) == alone


def test_a_text_that_another_document_shares_is_kept(store: Store, engine: Engine) -> None:
    answered(store, NOTE)
    answered(store, NOTE, prefix="twin")
    erased = erase(store, document="note-0")
    assert erased.texts_kept == 1
    assert rows(engine)["jobs"] == 3


def test_a_patient_is_found_under_every_usual_column_name(store: Store) -> None:
    columns, values = ("subject_id", "SUBJECT_ID", "patient", "person_id"), (1001, "1001", "Patient/1001")
    named = {f"{column}-{value}": {column: value} for column in columns for value in values}
    theirs = [Document(external_id=name, text=name, metadata=metadata) for name, metadata in named.items()]
    others = [Document(external_id="other", text="other", metadata={"subject_id": 10011, "age": 1001})]
    submit(store, [*theirs, *others])
    assert erase(store, patient="1001").external_ids == set(named)


def test_configured_patient_columns_replace_the_usual_ones(store: Store) -> None:
    document = Document(external_id="a", text="a", metadata={"fall": "7", "subject_id": "8"})
    submit(store, [document])
    assert not erase(store, patient="8", patient_columns=("Fall",)).rows
    assert erase(store, patient="7", patient_columns=("Fall",)).external_ids == {"a"}


def test_erasing_a_run_erases_only_documents_of_no_other_run(store: Store, engine: Engine) -> None:
    first = answered(store, NOTE, "Only here.")
    submit(store, documents(NOTE), (ENTITIES,))
    erased = erase(store, run=first)
    assert erased.external_ids == {"note-1"}
    assert rows(engine)["documents"] == rows(engine)["jobs"] == rows(engine)["runs"] == 1


def test_an_old_document_that_a_later_run_asked_for_is_not_erased(store: Store, engine: Engine) -> None:
    answered(store, NOTE, "Old.")
    with write_transaction(engine) as connection:
        for table, column in (("documents", "registered_at"), ("runs", "created_at")):
            statement = text(f"UPDATE {table} SET {column} = :long_ago")
            connection.execute(statement, {"long_ago": "2020-01-01 00:00:00.000000"})
    submit(store, documents(NOTE))
    assert erase(store, before=datetime.now(UTC) - timedelta(days=30)).external_ids == {"note-1"}


def test_a_worker_that_still_holds_an_erased_note_stores_nothing(store: Store, engine: Engine) -> None:
    from making import claimed, finished, record

    submit(store, documents(NOTE))
    work = claimed(store, 1)
    erase(store, document="note-0")
    assert record(store, work.jobs[0], finished(work.jobs[0], work.text)) is False
    assert rows(engine) == {}


def test_the_audit_trail_names_erased_documents_by_internal_id_only(store: Store, engine: Engine) -> None:
    answered(store, CANARY)
    erase(store, patient="none")
    erase(store, document="note-0")
    with read_transaction(engine) as connection:
        subjects = connection.scalars(text("SELECT subject FROM audit WHERE action = 'purge'")).all()
    assert [json.loads(subject)["documents"] for subject in subjects] == [[1]]
    assert "note-0" not in str(subjects)


def files_with(folder: Path, word: str) -> list[str]:
    """Names of the files below the folder that contain the word."""
    return [p.name for p in folder.rglob("*") if p.is_file() and word.encode() in p.read_bytes()]


def test_no_byte_of_an_erased_note_remains_in_the_sqlite_files(tmp_path: Path, sqlite_file: Path) -> None:
    path = tmp_path / "notemill.db"
    path.write_bytes(sqlite_file.read_bytes())
    engine = connect(f"sqlite:///{path}")
    store = Store(engine)
    answered(store, *(f"{CANARY} {number} {'word ' * 300}" for number in range(20)))
    answered(store, "Kept.", prefix="kept")
    assert files_with(tmp_path, CANARY)
    for number in range(20):
        erase(store, document=f"note-{number}")
    assert overwrite(engine, is_rewriting=False).is_complete
    assert files_with(tmp_path, CANARY) == []
    assert rows(engine)["documents"] == 1


def test_an_open_reader_makes_the_overwrite_incomplete_and_is_not_waited_for(
    tmp_path: Path, sqlite_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.security.secure_overwrite.BUSY_TIMEOUT_SECONDS", 0.1)
    path = tmp_path / "notemill.db"
    path.write_bytes(sqlite_file.read_bytes())
    engine = connect(f"sqlite:///{path}")
    answered(Store(engine), CANARY)
    with read_transaction(connect(f"sqlite:///{path}")) as reader:
        reader.execute(text("SELECT COUNT(*) FROM jobs"))
        erase(Store(engine), document="note-0")
        assert not overwrite(engine, is_rewriting=False).is_complete
    assert overwrite(engine, is_rewriting=False).is_complete
    assert files_with(tmp_path, CANARY) == []


@pytest.mark.parametrize("is_rewriting", [False, True])
def test_an_overwrite_of_postgresql_is_complete_only_if_it_rewrites_the_tables(
    store: Store, engine: Engine, is_rewriting: bool
) -> None:
    if engine.dialect.name != "postgresql":
        pytest.skip("PostgreSQL only")
    answered(store, CANARY)
    erase(store, document="note-0")
    assert overwrite(engine, is_rewriting=is_rewriting).is_complete is is_rewriting


def registered(notemill: Notemill, redis_url: str, **notes: str) -> list[int]:
    """Stores notes in the home's database and sends their messages to Redis; returns their ids."""
    assert notemill("db", "upgrade") == 0
    store = Store(connect(load_settings().effective_database_url))
    batch = [
        Document(external_id=name, text=note, metadata={"subject_id": name}) for name, note in notes.items()
    ]
    _, done = submit(store, batch, QUESTIONS)
    os.environ["NOTEMILL_REDIS_URL"] = redis_url
    with RedisPublisher(redis_url) as enqueuer:
        enqueuer.send(done.owed_document_ids)
        enqueuer.send(done.owed_document_ids, is_urgent=True)
    for id_ in done.owed_document_ids:
        work_off(store, id_)
    return list(done.owed_document_ids)


def test_purge_removes_messages_and_refused_records_and_writes_a_receipt(
    notemill: Notemill, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTEMILL_REDIS_URL", redis_url)
    ids = registered(notemill, redis_url, adam=f"{CANARY} has pain.", eve="No fever.")
    rejects = notemill.home / "rejects"
    rejects.mkdir()
    lines = [json.dumps({"external_id": name, "reason": "no text"}) + "\n" for name in ("adam", "eve")]
    (rejects / "run-1.rejects.jsonl").write_text("".join(lines))
    receipt = notemill.home / "receipt.json"
    assert notemill("purge", "--patient", "adam", "--yes", "--receipt", receipt) == 0, notemill.err
    receipt_data = json.loads(receipt.read_text())
    assert (
        receipt_data["documents"],
        receipt_data["messages_withdrawn"],
        receipt_data["is_overwritten"],
    ) == ([ids[0]], 2, True)
    assert receipt_data["lines_of_refused_records_removed"] == 1
    assert queue_length(redis_url).waiting == 2
    receipt.unlink()
    assert files_with(notemill.home, CANARY) == []
    assert files_with(notemill.home, "adam") == []


def test_the_receipt_names_adapters_trained_on_the_erased_note(notemill: Notemill) -> None:
    store_file = notemill.home / "receipt.json"
    assert notemill("db", "upgrade") == 0
    submit(Store(connect(load_settings().effective_database_url)), documents(NOTE))
    adapter = notemill.home / "adapters" / "ours"
    adapter.mkdir(parents=True)
    (adapter / "trained_on.txt").write_text(f"{'0' * 64}\n{documents(NOTE)[0].text_sha256}\n")
    notemill("purge", "--document", "note-0", "--yes", "--receipt", store_file)
    assert json.loads(store_file.read_text())["adapters_trained_on_them"] == [str(adapter)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give one of"),
        (("--document", "a", "--run", "1"), "give one of"),
        (("--before", "yesterday"), "2026-01-31"),
        (("--expired",), "NOTEMILL_RETENTION_DAYS"),
        (("--patient", ""), "is empty"),
    ],
)
def test_a_wrong_purge_command_says_what_is_wrong(
    notemill: Notemill, arguments: tuple[str, ...], words: str
) -> None:
    assert notemill("purge", *arguments, "--yes") == 2
    assert words in notemill.err


def test_without_yes_and_without_a_terminal_nothing_is_erased(
    notemill: Notemill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: SIM115, PTH123
    assert notemill("purge", "--document", "a") == 2
    assert "--yes" in notemill.err


def test_a_killed_purge_resumes_where_it_stopped(notemill: Notemill) -> None:
    assert notemill("db", "upgrade") == 0
    engine = connect(load_settings().effective_database_url)
    store = Store(engine)
    texts = [f"{CANARY} {number} {'word ' * 400}" for number in range(1_100)]
    run_id = store.open_run(questions=QUESTIONS, recipes=list(recipes_of(a_serving()).values()), sources=[])
    store.register(run_id, documents(*texts), QUESTIONS, recipes_of(a_serving()))
    store.close_run(run_id, documents=len(texts), refused=0)
    command = [sys.executable, "-m", "notemill", "purge", "--run", str(run_id), "--yes"]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while rows(engine).get("documents") == 1_100:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    engine.dispose()
    assert notemill("purge", "--run", run_id, "--yes") == 0, notemill.err
    assert rows(engine) == {}
    engine.dispose()
    assert files_with(notemill.home, CANARY) == []
