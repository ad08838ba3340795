"""Writes OMOP rows into a database in one transaction.

Replaces what an earlier export left for a note; other notes, and rows of other systems, stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from exports.omop import omop_rows, omop_views
from exports.omop.omop_tables import METADATA, NOTE, NOTE_NLP
from exports.source.vocabulary import Vocabulary
from models.errors import NotemillError, UsageError
from models.queries.note_export import ExportedNote

_NOTES_A_BATCH = 200
"""Notes in a batch; with 200 kB each these are 40 MB."""
_POSTGRESQL = {"postgres", "postgresql"}


def write_database(
    notes: Iterable[ExportedNote], url: str, ids: omop_rows.NoteIds, vocabulary: Vocabulary
) -> None:
    """Creates missing tables, and the typed views on SQLite and PostgreSQL. Raises UsageError where the
    database is unreachable, NotemillError where it refuses a row."""
    with _writing(url) as connection:
        METADATA.create_all(connection)
        next_id = connection.scalars(
            sa.select(sa.func.coalesce(sa.func.max(NOTE_NLP.c.note_nlp_id), 0))
        ).one()
        rest = iter(notes)
        while batch := list(islice(rest, _NOTES_A_BATCH)):
            next_id = _write(connection, {ids.of(note): note for note in batch}, vocabulary, next_id)
        dialect = connection.dialect.name
        if dialect in ("sqlite", "postgresql"):
            for statement in omop_views.statements(dialect):  # type: ignore[arg-type]
                # no_parameters: psycopg then leaves the percent sign of LIKE alone.
                connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def _write(
    connection: sa.Connection, notes: dict[int, ExportedNote], vocabulary: Vocabulary, last_id: int
) -> int:
    is_ours = NOTE_NLP.c.nlp_system.like("notemill %")
    connection.execute(sa.delete(NOTE_NLP).where(NOTE_NLP.c.note_id.in_(notes), is_ours))
    existing_ids = set(connection.scalars(sa.select(NOTE.c.note_id).where(NOTE.c.note_id.in_(notes))))
    new = [omop_rows.note_row(note, number) for number, note in notes.items() if number not in existing_ids]
    nlp_rows = [row for number, note in notes.items() for row in omop_rows.nlp_rows(note, number, vocabulary)]
    numbered = [{**row, "note_nlp_id": last_id + place} for place, row in enumerate(nlp_rows, start=1)]
    for table, rows in ((NOTE, new), (NOTE_NLP, numbered)):
        if rows:
            connection.execute(sa.insert(table), rows)
    return last_id + len(numbered)


@contextmanager
def _writing(url: str) -> Iterator[sa.Connection]:
    """Removes values from errors: a driver's message may quote a note."""
    engine = _engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    except exc.OperationalError as error:
        raise UsageError(
            f"cannot use {_url_without_password(engine.url)}: {type(error.orig).__name__}."
        ) from None
    except exc.SQLAlchemyError as error:
        kind = type(getattr(error, "orig", None) or error).__name__
        raise NotemillError(
            f"{_url_without_password(engine.url)} refused a row ({kind}); nothing was written."
        ) from None
    finally:
        engine.dispose()


def _engine(url: str) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
        if parsed.drivername in _POSTGRESQL:
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            Path(parsed.database).touch(mode=0o600)  # a new one is for its owner's eyes
        options: dict[str, Any] = {"hide_parameters": True, "poolclass": sa.NullPool}
        return sa.create_engine(parsed, **options)
    except OSError as error:
        raise UsageError(f"cannot write {_url_without_password(parsed)}: {error.strerror}") from None
    except (exc.ArgumentError, ValueError, ImportError):
        raise UsageError(
            "that is no database URL. For example: --output postgresql://user@host/omop"
        ) from None


def _url_without_password(url: sa.URL) -> str:
    shown = sa.URL.create(url.get_backend_name(), host=url.host, port=url.port, database=url.database)
    return shown.render_as_string()
