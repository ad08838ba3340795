"""Provenance digests of the notes in a record, so that a purge can name the folders trained on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from models.documents import text_sha256
from models.security.training_provenance import document_name_sha256

_TEXTS = ("text", "note", "dialogue", "section_text", "answer")
"""Fields in which a record may hold a stored text; conversations hold none."""


def digests_of(records: Iterable[Mapping[str, Any]]) -> set[str]:
    """Digests of every text and document name in the records."""
    digests = set()
    for record in records:
        digests |= {text_sha256(record[name]) for name in _TEXTS if isinstance(record.get(name), str)}
        if isinstance(record.get("document"), str):
            digests.add(document_name_sha256(record["document"]))
    return digests
