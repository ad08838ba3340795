"""Stored documents: one with its text, and how many there are."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, select

from models.documents import StoredDocument
from models.jobs import JobStatus
from models.schema.database import read_transaction
from models.schema.tables import DocumentRow, JobRow, RunRow, TextRow


class DocumentQueries:
    """Reads documents and counts rows; part of `Queries`."""

    _engine: Engine

    def document(self, reference: str) -> StoredDocument | None:
        """The newest version of an external id, or with `#12` the document whose id is 12."""
        named = _WITH_TEXT.where(DocumentRow.external_id == reference)
        with read_transaction(self._engine) as connection:
            row = connection.execute(named.order_by(DocumentRow.id.desc()).limit(1)).one_or_none()
            if row is None and re.fullmatch(r"#[0-9]{1,18}", reference):
                by_id = _WITH_TEXT.where(DocumentRow.id == int(reference[1:]))
                row = connection.execute(by_id).one_or_none()
        return None if row is None else _stored_document(row)

    def count_documents(self, ids: Collection[int]) -> int:
        """The number of these documents that still exist."""
        counted = select(func.count()).select_from(DocumentRow).where(DocumentRow.id.in_(ids))
        with read_transaction(self._engine) as connection:
            return connection.scalars(counted).one()

    def counts(self) -> dict[str, Any]:
        """Row counts: documents, texts, runs, and jobs by status."""
        by_status = select(JobRow.status, func.count()).group_by(JobRow.status)
        with read_transaction(self._engine) as connection:
            jobs = {row[0]: row[1] for row in connection.execute(by_status)}
            tables = {"documents": DocumentRow, "texts": TextRow, "runs": RunRow}
            counted = {name: _count(connection, table) for name, table in tables.items()}
        return {**counted, "jobs": {status.value: jobs.get(status.value, 0) for status in JobStatus}}


def document_by_id(engine: Engine, document_id: int) -> StoredDocument | None:
    """The document with this id."""
    with read_transaction(engine) as connection:
        row = connection.execute(_WITH_TEXT.where(DocumentRow.id == document_id)).one_or_none()
    return None if row is None else _stored_document(row)


_WITH_TEXT = select(DocumentRow.__table__, TextRow.text).join(
    TextRow, TextRow.sha256 == DocumentRow.text_sha256
)


def _stored_document(row: Row[Any]) -> StoredDocument:
    return StoredDocument(
        id=row.id, external_id=row.external_id, source=row.source, text=row.text, metadata=row.metadata
    )


def _count(connection: Connection, table: type[Any]) -> int:
    return connection.scalars(select(func.count()).select_from(table)).one()
