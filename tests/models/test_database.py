"""Database connections, their transactions, and errors without values of rows."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from making import documents, submit
from sqlalchemy import Engine, insert, select, text

from models.queries.queries import Queries
from models.schema import database
from models.schema.database import (
    DatabaseError,
    DatabaseUnavailableError,
    connect,
    read_transaction,
    write_transaction,
)
from models.schema.tables import TextRow
from models.store.store import Store

FORMS = "NOTEMILL_DATABASE_URL"


@pytest.mark.parametrize(
    "url", ["", "notes.db", "sqlite://", "sqlite:///:memory:", "mysql://h/d", "sqlite:///f?x=1"]
)
def test_an_invalid_url_is_answered_with_a_valid_one(url: str) -> None:
    with pytest.raises(DatabaseError, match=FORMS):
        connect(url)


def test_the_error_about_an_invalid_url_does_not_show_its_password() -> None:
    with pytest.raises(DatabaseError) as caught:
        connect("postgresql://user:hunter2@localhost:notaport/x")
    assert "hunter2" not in str(caught.value)


def test_a_server_that_does_not_answer_is_unavailable_and_its_password_not_shown() -> None:
    with pytest.raises(DatabaseUnavailableError, match=r"user:\*\*\*@") as caught:
        connect("postgresql://user:hunter2@127.0.0.1:1/notemill")
    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, but a note that is long enough" * 20)
    with pytest.raises(DatabaseError, match="not a database"):
        connect(f"sqlite:///{tmp_path / 'notes.txt'}")


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError, match="cannot open"):
        connect(f"sqlite:///{tmp_path / 'file' / 'notemill.db'}")


def test_the_write_ahead_log_of_a_large_transaction_is_truncated(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(database, "WRITE_AHEAD_BYTES", 100_000)
    engine = connect(f"sqlite:///{tmp_path / 'notemill.db'}")
    log = tmp_path / "notemill.db-wal"
    with write_transaction(engine) as connection:
        connection.exec_driver_sql("CREATE TABLE numbers (n BLOB)")
        connection.exec_driver_sql("INSERT INTO numbers VALUES (randomblob(5000000))")
    assert log.stat().st_size > 5_000_000
    for _ in range(2):  # the first checkpoints the log, the second restarts it
        with write_transaction(engine) as connection:
            connection.exec_driver_sql("INSERT INTO numbers VALUES (1)")
    assert log.stat().st_size <= 100_000


def test_the_sqlite_file_and_its_new_folder_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'new' / 'notemill.db'}")
    with write_transaction(engine) as connection:
        connection.execute(text("CREATE TABLE t (x INTEGER)"))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert modes == dict.fromkeys(["notemill.db", "notemill.db-wal", "notemill.db-shm"], 0o600)
    engine.dispose()


WRITE_AND_EXIT = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("INSERT INTO t VALUES (1)")
connection.commit()
connection.close()
"""


def test_an_exiting_process_does_not_remove_the_log_of_one_that_opened_the_file_twice(
    tmp_path: Path,
) -> None:
    """SQLite removes the log when the last connection closes; open connections must still count."""
    path = tmp_path / "notemill.db"
    first = connect(f"sqlite:///{path}")
    with write_transaction(first) as connection:
        connection.execute(text("CREATE TABLE t (x INTEGER)"))
    second = connect(f"sqlite:///{path}")
    for rows in (1, 2):
        subprocess.run([sys.executable, "-c", WRITE_AND_EXIT, str(path)], check=True)
        for engine in (first, second):
            with read_transaction(engine) as connection:
                assert connection.scalar(text("SELECT COUNT(*) FROM t")) == rows
    assert Path(f"{path}-wal").exists()
    first.dispose()
    second.dispose()


def test_a_folder_instead_of_a_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="no file"):
        connect(f"sqlite:///{tmp_path}")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_the_postgresql_scheme_is_accepted(postgres: str, scheme: str) -> None:
    engine = connect(f"{scheme}://postgres@/postgres?host={postgres}")
    assert engine.url.drivername == "postgresql+psycopg"
    engine.dispose()


def test_a_block_that_raises_writes_nothing(engine: Engine) -> None:
    def write_and_raise() -> None:
        with write_transaction(engine) as connection:
            connection.execute(insert(TextRow), {"sha256": "0" * 64, "text": "note"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_raise()
    with read_transaction(engine) as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM texts")).scalar_one() == 0


def test_a_time_with_another_offset_comes_back_in_utc(engine: Engine) -> None:
    noon = datetime(2026, 11, 23, 12, 0, 0, 123456, timezone(timedelta(hours=5, minutes=30)))
    with write_transaction(engine) as connection:
        connection.execute(insert(TextRow), {"sha256": "0" * 64, "text": "note", "created_at": noon})
    with read_transaction(engine) as connection:
        stored = connection.scalars(select(TextRow.created_at)).one()
    assert stored.isoformat() == "2026-11-23T06:30:00.123456+00:00"


def test_the_error_about_a_refused_row_does_not_hold_its_text(engine: Engine, store: Store) -> None:
    submit(store, documents("note"))
    with (
        pytest.raises(DatabaseError, match=r"CheckViolation|IntegrityError") as caught,
        write_transaction(engine) as c,
    ):
        c.execute(text("UPDATE jobs SET status = 'canary-4711'"))
    chain = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__suppress_context__}"
    assert "canary-4711" not in chain
    assert chain.endswith("True")


def _open_and_write(url: str) -> None:
    engine = connect(url)
    with write_transaction(engine) as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS t (x INTEGER)"))
    engine.dispose()


def test_processes_that_create_the_same_sqlite_file_at_once_all_succeed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'notemill.db'}"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_open_and_write, args=(url,)) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 8


def _freeze_while_writing(url: str) -> None:
    database.IDLE_TRANSACTION_SECONDS = 0.5
    engine = connect(url)
    with write_transaction(engine) as connection:
        connection.execute(text("UPDATE runs SET refused = 1"))
        os.kill(os.getpid(), signal.SIGSTOP)


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
def test_a_process_frozen_in_a_write_transaction_blocks_nobody_and_writes_nothing_when_it_wakes(
    store_url: str, store: Store, queries: Queries
) -> None:
    run_id, _ = submit(store, documents("note"))
    frozen = multiprocessing.get_context("spawn").Process(target=_freeze_while_writing, args=(store_url,))
    frozen.start()
    os.waitid(os.P_PID, frozen.pid or 0, os.WSTOPPED | os.WNOWAIT)
    assert store.cancel(run_id) == 1
    os.kill(frozen.pid or 0, signal.SIGCONT)
    frozen.join()
    assert frozen.exitcode == 1
    assert queries.run_progress(run_id).refused == 0


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
def test_a_transaction_that_was_ended_for_idleness_can_be_retried(
    store_url: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "IDLE_TRANSACTION_SECONDS", 0.05)

    def write_slowly() -> None:
        with write_transaction(engine) as connection:
            connection.execute(text("UPDATE runs SET refused = 1"))
            time.sleep(0.5)

    with pytest.raises(DatabaseUnavailableError):
        write_slowly()
    with write_transaction(engine) as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
