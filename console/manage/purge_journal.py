"""Purge journal: each batch is recorded before it is committed, so that a repeated purge completes a killed
one.

Does not depend on receipts.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from exports.atomic_files import whole_file
from models.queries.queries import Queries
from models.store.erasure import Erased, Erasure


class PurgeJournal:
    """The journal of one erasure: a line for each batch, in a file until the erasure is finished."""

    def __init__(self, folder: Path, erasure: Erasure) -> None:
        # A moment is another one each time: whatever is to go "before" goes on with the last such purge.
        value = "" if erasure.before is not None else str(getattr(erasure, erasure.kind))
        name = hashlib.sha256(value.encode()).hexdigest()[:12]
        self._path = folder / f"unfinished-{erasure.kind}-{name}.jsonl"

    def note(self, erased: Erased) -> None:
        """Records a batch before its commit; the line is on disk when this returns."""
        if not erased.rows:
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(_line(erased))
            file.flush()
            os.fsync(file.fileno())

    def resume(self, queries: Queries) -> None:
        """Drops a batch that was recorded and not committed; call it before the first batch."""
        if self._path.exists():
            batches = [batch for batch in self._batches() if not queries.count_documents(batch.document_ids)]
            with whole_file(self._path) as file:
                file.write("".join(map(_line, batches)).encode("utf-8"))

    def removed(self) -> Erased:
        """The rows that this purge and its killed predecessors removed."""
        return sum(self._batches(), Erased())

    def _batches(self) -> list[Erased]:
        lines = self._path.read_text("utf-8").splitlines() if self._path.exists() else []
        return [batch for line in lines if (batch := _from_json(line)) is not None]

    def forget(self) -> None:
        """Removes the journal after the receipt is written."""
        self._path.unlink(missing_ok=True)


def _line(erased: Erased) -> str:
    facts = {
        "document_ids": erased.document_ids,
        "external_ids": sorted(erased.external_ids),
        "text_sha256s": sorted(erased.text_sha256s),
        "texts_kept": erased.texts_kept,
        "runs": sorted(erased.runs),
        "rows": erased.rows,
    }
    return json.dumps(facts, ensure_ascii=False) + "\n"


def _from_json(line: str) -> Erased | None:
    """A line; None for one that was being written when the power failed: its batch was not committed."""
    try:
        stored = json.loads(line)
    except ValueError:
        return None
    return Erased(
        document_ids=tuple(stored["document_ids"]),
        external_ids=frozenset(stored["external_ids"]),
        text_sha256s=frozenset(stored["text_sha256s"]),
        texts_kept=stored["texts_kept"],
        runs=frozenset(stored["runs"]),
        rows=stored["rows"],
    )
