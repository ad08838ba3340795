"""Encryption at rest: stored text is not readable, spans and labels are, keys rotate under load."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Notemill
from hypothesis import given
from hypothesis import strategies as st
from making import NOTE, QUESTIONS, a_serving, documents, recipes_of, submit, work_off
from sqlalchemy import Engine, text

from models.migrations import schema_version
from models.queries.queries import Queries
from models.schema.database import connect, read_transaction, write_transaction
from models.schema.encrypted_columns import KEYRING_ATTRIBUTE
from models.schema.field_encryption import (
    ENCRYPTED_PREFIX,
    DecryptionError,
    KeyMissingError,
    decrypt,
    encrypt,
    new_key,
)
from models.security.data_keys import Keyring, install_keyring, keyring_of
from models.security.key_rotation import rekey
from models.security.open_database import open_database
from models.settings import Settings, load_settings
from models.store.store import Store

pytest_plugins = ("commands",)
MASTER = bytes(range(32))
WORDS = ("Pain", "Short.", "A note", "Course")


@pytest.fixture
def encrypted_engine(store_url: str) -> Iterator[Engine]:
    engine = connect(store_url)
    install_keyring(engine, (MASTER,))
    schema_version.check(engine)
    yield engine
    engine.dispose()


def answered(engine: Engine, note: str = NOTE) -> None:
    store = Store(engine)
    _, registered = submit(store, documents(note), QUESTIONS)
    for id_ in registered.owed_document_ids:
        work_off(store, id_)


def stored(engine: Engine) -> str:
    """All text columns, as anyone with access to the database reads them."""
    tables = ("texts", "entities", "passages", "summaries", "summary_sentences")
    with read_transaction(engine) as connection:
        return str([connection.execute(text(f"SELECT * FROM {table}")).all() for table in tables])


def results(engine: Engine) -> str:
    return str(list(Queries(engine).results()))


def test_stored_text_is_encrypted_and_read_text_is_plain(encrypted_engine: Engine) -> None:
    answered(encrypted_engine)
    assert not [word for word in WORDS if word in stored(encrypted_engine)]
    assert all(word in results(encrypted_engine) for word in WORDS)
    document = Queries(encrypted_engine).document("note-0")
    assert document is not None
    assert document.text == NOTE


def test_spans_and_labels_stay_readable(encrypted_engine: Engine) -> None:
    answered(encrypted_engine)
    with read_transaction(encrypted_engine) as connection:
        row = connection.execute(text("SELECT label, span_start, span_end FROM v_entities")).one()
        sources = connection.execute(text("SELECT source_text FROM v_summary_sources")).all()
        characters = connection.execute(text("SELECT characters FROM v_jobs")).all()
    assert tuple(row) == ("problem", 0, 4)
    assert {value for (value,) in [*sources, *characters]} == {None}


def test_without_a_key_an_encrypted_database_is_neither_read_nor_written(encrypted_engine: Engine) -> None:
    answered(encrypted_engine)
    for masters in ((), (new_key(),)):
        setattr(encrypted_engine.dialect, KEYRING_ATTRIBUTE, None)
        install_keyring(encrypted_engine, masters)
        with pytest.raises(KeyMissingError, match="NOTEMILL_ENCRYPTION_KEY_FILE"):
            schema_version.check(encrypted_engine)
        with pytest.raises(KeyMissingError):
            results(encrypted_engine)


def test_a_tampered_value_is_a_decryption_error(encrypted_engine: Engine) -> None:
    answered(encrypted_engine)
    with write_transaction(encrypted_engine) as connection:
        connection.execute(text("UPDATE entities SET text = substr(text, 1, length(text) - 8) || 'AAAAAAA='"))
    with pytest.raises(DecryptionError):
        results(encrypted_engine)


def test_a_note_that_looks_encrypted_is_stored_unchanged(engine: Engine) -> None:
    for note in (f"{ENCRYPTED_PREFIX}1:AAAA", f"{ENCRYPTED_PREFIX}plain:x", f"{ENCRYPTED_PREFIX}"):
        submit(Store(engine), documents(note, prefix=note))
        document = Queries(engine).document(f"{note}-0")
        assert document is not None
        assert document.text == note


def test_rekey_encrypts_plain_text(engine: Engine) -> None:
    answered(engine)
    before = results(engine)
    install_keyring(engine, (MASTER,))
    schema_version.check(engine)
    rekey(engine)
    assert not [word for word in WORDS if word in stored(engine)]
    assert results(engine) == before


def test_after_rekey_the_old_master_key_decrypts_nothing(encrypted_engine: Engine) -> None:
    answered(encrypted_engine)
    before, new = results(encrypted_engine), new_key()
    install_keyring(encrypted_engine, (new, MASTER))
    schema_version.check(encrypted_engine)
    done = rekey(encrypted_engine)
    assert (done.key, done.rewrapped_keys) == (2, 1)
    install_keyring(encrypted_engine, (new,))
    assert results(encrypted_engine) == before
    install_keyring(encrypted_engine, (MASTER,))
    with pytest.raises(KeyMissingError):
        schema_version.check(encrypted_engine)


def test_a_process_started_before_a_rekey_reads_text_under_the_new_key(encrypted_engine: Engine) -> None:
    answered(encrypted_engine)
    keyring = keyring_of(encrypted_engine)
    install_keyring(encrypted_engine, (MASTER,))
    schema_version.check(encrypted_engine)
    rekey(encrypted_engine)
    setattr(encrypted_engine.dialect, KEYRING_ATTRIBUTE, keyring)
    assert isinstance(keyring, Keyring)
    assert "Pain" in results(encrypted_engine)


def test_a_killed_rekey_resumes_and_loses_nothing(notemill: Notemill) -> None:
    os.environ["NOTEMILL_ENCRYPTION_KEY"] = base64.b64encode(MASTER).decode()
    try:
        assert notemill("db", "upgrade") == 0
        engine = open_database(load_settings())
        schema_version.check(engine)
        store = Store(engine)
        texts = [f"canary {number} {'word ' * 200}" for number in range(1_500)]
        recipes = recipes_of(a_serving())
        run_id = store.open_run(questions=QUESTIONS, recipes=list(recipes.values()), sources=[])
        store.register(run_id, documents(*texts), QUESTIONS, recipes)
        command = [sys.executable, "-m", "notemill", "db", "rekey"]
        killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while under(engine, 2) == 0 and killed.poll() is None:
            time.sleep(0.005)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert notemill("db", "rekey") == 0, notemill.err
        assert under(engine, 2) == len(texts)
        last = Queries(engine).document("note-1499")
        assert last is not None
        assert last.text == texts[1499]
    finally:
        del os.environ["NOTEMILL_ENCRYPTION_KEY"]


def under(engine: Engine, number: int) -> int:
    """The number of texts that are encrypted under the data key."""
    with read_transaction(engine) as connection:
        count = text("SELECT COUNT(*) FROM texts WHERE text LIKE :head")
        return int(connection.scalar(count, {"head": f"{ENCRYPTED_PREFIX}{number}:%"}) or 0)


def test_notemill_sql_decrypts_what_it_shows(notemill: Notemill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTEMILL_ENCRYPTION_KEY", base64.b64encode(MASTER).decode())
    assert notemill("db", "upgrade") == 0
    engine = open_database(load_settings())
    schema_version.check(engine)
    answered(engine)
    assert notemill("sql", "SELECT label, text FROM v_entities") == 0
    assert "Pain" in notemill.out
    monkeypatch.delenv("NOTEMILL_ENCRYPTION_KEY")
    assert notemill("results", "--format", "jsonl") == 1
    assert "NOTEMILL_ENCRYPTION_KEY_FILE" in notemill.err


@pytest.mark.parametrize("how", ["key", "hexadecimal", "file", "command"])
def test_the_master_key_is_read_from_the_configured_source(how: str, tmp_path: Path) -> None:
    from models.security.master_keys import master_keys

    path = tmp_path / "keys"
    path.write_text(base64.b64encode(MASTER).decode() + "\n" + base64.b64encode(b"o" * 32).decode() + "\n")
    given = {
        "key": {"encryption_key": path.read_text()},
        "hexadecimal": {"encryption_key": f"{MASTER.hex()} {(b'o' * 32).hex()}"},
        "file": {"encryption_key_file": path},
        "command": {"encryption_key_command": f"cat '{path}'"},
    }[how]
    assert master_keys(Settings(**given)) == (MASTER, b"o" * 32)


@pytest.mark.parametrize(
    "given",
    [
        {"encryption_key": "c2VjcmV0"},
        {"encryption_key": "SECRET!"},
        {"encryption_key_file": Path("/nowhere/SECRET")},
        {"encryption_key_command": "false"},
        {"encryption_key_command": "/nowhere/at/all"},
        {"encryption_key_command": "true"},
    ],
)
def test_the_error_about_an_invalid_master_key_does_not_hold_the_key(given: dict[str, object]) -> None:
    from models.security.master_keys import MasterKeyError, master_keys

    with pytest.raises(MasterKeyError) as raised:
        master_keys(Settings(**given))
    assert "SECRET!" not in str(raised.value)
    assert "c2VjcmV0" not in str(raised.value)


@given(st.text(), st.integers(1, 10**6))
def test_decryption_returns_the_encrypted_text(words: str, number: int) -> None:
    first, second = encrypt(words, number, MASTER), encrypt(words, number, MASTER)
    assert first != second
    assert decrypt(first, MASTER) == words


@given(st.text(min_size=8, alphabet="abc"), st.data())
def test_one_changed_character_is_detected(words: str, data: st.DataObject) -> None:
    whole = encrypt(words, 7, MASTER)
    place = data.draw(st.integers(len(f"{ENCRYPTED_PREFIX}7:"), len(whole) - 5))
    other = "A" if whole[place] != "A" else "B"
    with pytest.raises(DecryptionError):
        decrypt(whole[:place] + other + whole[place + 1 :], MASTER)
