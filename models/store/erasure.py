"""Erasure: documents with their jobs and answers, some hundreds in a transaction.

`models.security.secure_overwrite` removes the deleted bytes from the database's files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Table, delete, exists, func, select, text
from sqlalchemy.orm import aliased

from models.schema import answer_tables
from models.schema.database import write_transaction
from models.schema.tables import Base, DocumentRow, JobRow, RunJobRow, RunRow, TextRow
from models.security import audit_trail
from models.store.cancellation import hold_registration

PATIENT_COLUMNS = ("patient", "patient_id", "subject_id", "person_id", "mrn")
"""Metadata columns that identify a patient, in lower case: those of FHIR, CSV files, MIMIC and OMOP."""
assert answer_tables  # imported so that its tables are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """The documents or run to erase; exactly one of the first four fields is given."""

    document: str | None = None
    """An external id, in all versions; or `#12`, one document."""
    patient: str | None = None
    """A value of a patient column in the metadata."""
    before: datetime | None = None
    """Documents registered before this time that no run asked for since."""
    run: int | None = None
    """A run, with the documents and jobs that no other run asked for."""
    patient_columns: tuple[str, ...] = PATIENT_COLUMNS

    @property
    def kind(self) -> str:
        return next(n for n in ("document", "patient", "before", "run") if getattr(self, n) is not None)


@dataclass(frozen=True, slots=True)
class Erased:
    """The rows that one transaction, or several together, deleted."""

    document_ids: tuple[int, ...] = ()
    external_ids: frozenset[str] = frozenset()
    text_sha256s: frozenset[str] = frozenset()
    """The deleted texts; a text that another document has stays."""
    texts_kept: int = 0
    runs: frozenset[int] = frozenset()
    rows: dict[str, int] = field(default_factory=dict)
    """Deleted rows by table."""

    def __add__(self, other: Erased) -> Erased:
        names = {*self.rows, *other.rows}
        return Erased(
            self.document_ids + other.document_ids,
            self.external_ids | other.external_ids,
            self.text_sha256s | other.text_sha256s,
            self.texts_kept + other.texts_kept,
            self.runs | other.runs,
            {name: self.rows.get(name, 0) + other.rows.get(name, 0) for name in sorted(names)},
        )


class ErasureWrites:
    """Erases documents; part of `Store`."""

    _engine: Engine
    _actor: str

    def erase(
        self, erasure: Erasure, *, limit: int = 500, before_commit: Callable[[Erased], None] = lambda _: None
    ) -> Erased:
        """Deletes at most `limit` documents with their jobs and answers, texts that no other document has,
        and runs of which nothing is left, and adds a row to the audit trail. Call it until it deletes
        nothing. A worker that holds a claim on one of the jobs finds it gone and stores nothing."""
        with write_transaction(self._engine) as connection:
            erased = _erase(connection, erasure, limit)
            if erased.rows:
                subject = {
                    "by": erasure.kind,
                    "documents": list(erased.document_ids),
                    "runs": sorted(erased.runs),
                    "rows": erased.rows,
                }
                audit_trail.append(connection, audit_trail.Action.PURGE, subject, actor=self._actor)
            before_commit(erased)
        return erased


def _erase(connection: Connection, erasure: Erasure, limit: int) -> Erased:
    hold_registration(connection)
    documents = connection.execute(_documents(connection, erasure, limit)).all()
    ids = [row.id for row in documents]
    shas = sorted({row.text_sha256 for row in documents})
    of_documents = select(RunJobRow.run_id).where(RunJobRow.document_id.in_(ids)).distinct()
    runs = set(connection.scalars(of_documents)) | ({erasure.run} if erasure.run is not None else set())
    rows = _delete(connection, DocumentRow, DocumentRow.id.in_(ids)) if ids else {}
    orphans = list(connection.scalars(_orphans(shas))) if shas else []
    for sha_rows in (_delete_texts(connection, orphans), _delete_leftovers(connection, erasure, bool(ids))):
        rows = {name: rows.get(name, 0) + sha_rows.get(name, 0) for name in {*rows, *sha_rows}}
    deleted_runs = _delete_empty_runs(connection, erasure, runs)
    return Erased(
        tuple(ids),
        frozenset(row.external_id for row in documents),
        frozenset(orphans),
        len(shas) - len(orphans),
        frozenset(deleted_runs),
        {name: count for name, count in (rows | {"runs": len(deleted_runs)}).items() if count},
    )


def _documents(connection: Connection, erasure: Erasure, limit: int) -> Any:
    columns = select(DocumentRow.id, DocumentRow.external_id, DocumentRow.text_sha256)
    return columns.where(_is_selected(connection, erasure)).order_by(DocumentRow.id).limit(limit)


def _is_selected(connection: Connection, erasure: Erasure) -> ColumnElement[bool]:
    if erasure.document is not None:
        is_named = DocumentRow.external_id == erasure.document
        if re.fullmatch(r"#[0-9]{1,18}", erasure.document):
            return is_named | (DocumentRow.id == int(erasure.document[1:]))
        return is_named
    if erasure.patient is not None:
        return _is_of_patient(connection, erasure.patient, erasure.patient_columns)
    if erasure.before is not None:
        since = exists().where(
            RunJobRow.document_id == DocumentRow.id,
            RunRow.id == RunJobRow.run_id,
            RunRow.created_at >= erasure.before,
        )
        return (DocumentRow.registered_at < erasure.before) & ~since
    of_run = exists().where(RunJobRow.document_id == DocumentRow.id, RunJobRow.run_id == erasure.run)
    other = aliased(RunJobRow)
    of_another = exists().where(other.document_id == DocumentRow.id, other.run_id != erasure.run)
    return of_run & ~of_another


def _is_of_patient(connection: Connection, patient: str, columns: Sequence[str]) -> ColumnElement[bool]:
    """Scans the metadata of every document: minutes for ten million, without an index to maintain."""
    each = "json_each_text" if connection.dialect.name == "postgresql" else "json_each"
    names = [f":column_{number}" for number in range(len(columns))]
    statement = text(
        f"EXISTS (SELECT 1 FROM {each}(documents.metadata) AS each WHERE lower(each.key) IN"  # noqa: S608  constants only
        f" ({', '.join(names)}) AND CAST(each.value AS TEXT) IN (:patient, :reference))"
    )
    values = {f"column_{number}": name.lower() for number, name in enumerate(columns)}
    return statement.bindparams(patient=patient, reference=f"Patient/{patient}", **values)  # type: ignore[return-value]


def _orphans(shas: Sequence[str]) -> Any:
    has_document = exists().where(DocumentRow.text_sha256 == TextRow.sha256)
    return select(TextRow.sha256).where(TextRow.sha256.in_(shas), ~has_document)


def _delete_texts(connection: Connection, shas: Sequence[str]) -> dict[str, int]:
    """Deletes the texts and, by the foreign keys, every job and answer on them."""
    if not shas:
        return {}
    counted = _delete_jobs(connection, JobRow.text_sha256.in_(shas))
    for table in Base.metadata.sorted_tables:
        if "text_sha256" in table.c and table.name not in ("documents", "jobs"):
            counted[table.name] = connection.execute(
                delete(table).where(table.c.text_sha256.in_(shas))
            ).rowcount
    return counted | _delete(connection, TextRow, TextRow.sha256.in_(shas))


def _delete_leftovers(connection: Connection, erasure: Erasure, has_documents: bool) -> dict[str, int]:
    """Deletes an emptied run's jobs on other runs' documents that no other run asked for."""
    if erasure.run is None or has_documents:
        return {}
    other = aliased(RunJobRow)
    of_run = exists().where(RunJobRow.job_id == JobRow.id, RunJobRow.run_id == erasure.run)
    of_another = exists().where(other.job_id == JobRow.id, other.run_id != erasure.run)
    counted = _delete_jobs(connection, of_run & ~of_another)
    return counted | _delete(connection, RunJobRow, RunJobRow.run_id == erasure.run)


def _delete_jobs(connection: Connection, is_selected: ColumnElement[bool]) -> dict[str, int]:
    ids = list(connection.scalars(select(JobRow.id).where(is_selected)))
    if not ids:
        return {}
    counted = {table.name: _count(connection, table, ids) for table in _answer_tables()}
    return counted | _delete(connection, JobRow, JobRow.id.in_(ids))


def _answer_tables() -> list[Table]:
    return [t for t in Base.metadata.sorted_tables if "job_id" in t.c and t.name not in ("run_jobs",)]


def _count(connection: Connection, table: Table, job_ids: Sequence[int]) -> int:
    return connection.scalars(
        select(func.count()).select_from(table).where(table.c.job_id.in_(job_ids))
    ).one()


def _delete(connection: Connection, table: type[Any], is_selected: ColumnElement[bool]) -> dict[str, int]:
    return {table.__tablename__: connection.execute(delete(table).where(is_selected)).rowcount}


def _delete_empty_runs(connection: Connection, erasure: Erasure, runs: set[int]) -> list[int]:
    """Deletes runs without documents: their sources and questions may hold personal data."""
    is_empty = ~exists().where(RunJobRow.run_id == RunRow.id)
    is_asked: ColumnElement[bool] = RunRow.id.in_(runs)
    if erasure.before is not None:
        is_asked = is_asked | (RunRow.created_at < erasure.before)
    is_selected = is_empty & is_asked & RunRow.closed_at.is_not(None)
    return list(connection.scalars(delete(RunRow).where(is_selected).returning(RunRow.id)))
