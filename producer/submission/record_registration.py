"""Registers records in the database in batches, and writes refused ones to the rejects file. Does not import
Redis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from models.answers import Task
from models.documents import Document, Refused
from models.jobs import Question, Recipe
from models.store.store import Store
from producer.submission.rejects_file import RejectsFile

BATCH_DOCUMENTS = 500
"""Documents in one transaction."""
BATCH_CHARACTERS = 8_000_000
"""Characters in one transaction, so that 500 notes of 200 kB are not one of 100 MB."""


TAKEN_BACK = "replaced or taken back by its source"


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a submission, for a progress bar."""

    run_id: int
    documents: int = 0
    """Distinct documents accepted."""
    refused: int = 0
    refused_by_reason: dict[str, int] = field(default_factory=dict)
    """Refused records by reason, the most frequent first."""
    new_jobs: int = 0
    known_jobs: int = 0
    """Jobs that existed already, from an earlier run or another document of equal text."""
    owed_documents: int = 0
    """Documents with at least one owed job."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A committed batch."""

    progress: Progress
    owed_document_ids: tuple[int, ...]


def register(
    records: Iterable[Document | Refused],
    *,
    store: Store,
    run_id: int,
    questions: Sequence[Question],
    recipes: Mapping[Task, Recipe],
    rejects: RejectsFile,
    is_urgent: bool = False,
) -> Iterator[Batch]:
    """Registers the records as they are read; each batch is committed when it is yielded."""
    progress = Progress(run_id)
    for batch in _batches(records):
        documents = [record for record in batch if isinstance(record, Document)]
        refused = [record for record in batch if isinstance(record, Refused)]
        registered = store.register(run_id, documents, questions, recipes, is_urgent=is_urgent)
        rejects.write([*refused, *registered.refused])
        withdrawn = _withdrawn(batch, store, run_id)
        rejects.write(withdrawn)
        progress = Progress(
            run_id=run_id,
            documents=progress.documents + registered.documents - len(withdrawn),
            refused=rejects.count,
            refused_by_reason=dict(rejects.by_reason.most_common()),
            new_jobs=progress.new_jobs + registered.new_jobs,
            known_jobs=progress.known_jobs + registered.known_jobs,
            owed_documents=progress.owed_documents + len(registered.owed_document_ids),
        )
        yield Batch(progress, registered.owed_document_ids)


def _withdrawn(batch: Sequence[Document | Refused], store: Store, run_id: int) -> list[Refused]:
    """Notes of the run that their source replaced or withdrew, as refused records."""
    sources: dict[str, str] = {}
    for record in batch:
        if isinstance(record, Document):
            sources.pop(record.external_id, None)  # it was taken back, and is there again
            sources |= dict.fromkeys(record.replaces, record.source)
        elif record.withdraws and record.external_id is not None:
            sources[record.external_id] = record.source
    withdrawn_ids = store.withdraw(run_id, tuple(sources)) if sources else ()
    return [Refused(source=sources[id_], external_id=id_, reason=TAKEN_BACK) for id_ in withdrawn_ids]


def _batches(records: Iterable[Document | Refused]) -> Iterator[list[Document | Refused]]:
    rest = iter(records)
    while batch := list(_one_batch(rest)):
        yield batch


def _one_batch(records: Iterator[Document | Refused]) -> Iterator[Document | Refused]:
    num_characters = 0
    for record in islice(records, BATCH_DOCUMENTS):
        yield record
        num_characters += len(record.text) if isinstance(record, Document) else 0
        if num_characters >= BATCH_CHARACTERS:
            return
