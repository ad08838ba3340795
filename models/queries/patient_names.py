"""Identifying values in a document's metadata: of the patient and of the people who treated them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine, select

from models.schema.database import read_transaction
from models.schema.tables import DocumentRow

IDENTIFYING_COLUMNS = frozenset(
    [
        "patient",
        "patient_id",
        "subject_id",
        "person_id",
        "mrn",
        "encounter",
        "encounter_id",
        "visit_id",
        "visit_occurrence_id",
        "hadm_id",
        "stay_id",
        "account",
        "ssn",
        "name",
        "patient_name",
        "first_name",
        "last_name",
        "family_name",
        "given_name",
        "middle_name",
        "dob",
        "birth_date",
        "date_of_birth",
        "birthdate",
        "address",
        "street",
        "city",
        "zip",
        "postal_code",
        "phone",
        "telephone",
        "email",
        "provider",
        "provider_id",
        "provider_name",
        "author",
        "attending",
        "physician",
        "practitioner",
    ]
)
"""Metadata columns that identify a person, in lower case."""


def patient_names_of(engine: Engine, document_id: int) -> tuple[str, ...]:
    """The identifying values of a document, whole and split into words, and its external id."""
    columns = select(DocumentRow.external_id, DocumentRow.metadata_).where(DocumentRow.id == document_id)
    with read_transaction(engine) as connection:
        row = connection.execute(columns).one_or_none()
    return () if row is None else tuple(dict.fromkeys(_names(row[0], row[1] or {})))


def _names(external_id: str, metadata: dict[str, Any]) -> Iterator[str]:
    yield external_id
    for column, value in metadata.items():
        if column.casefold() in IDENTIFYING_COLUMNS and isinstance(value, str | int):
            yield str(value)
            yield from (word for word in re.split(r"[\s,^/|]+", str(value)) if word)
