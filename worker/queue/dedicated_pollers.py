"""Poller threads beside the message loop: one for urgent documents, one for quarantined jobs.

A poller asks SQL instead of Redis. A claim decides which worker gets a document.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial

from models.queries.queries import Queries
from worker.queue.document_task import process_document
from worker.queue.worker_context import WorkerContext

log = logging.getLogger(__name__)

URGENT_POLL_SECONDS = 0.5
QUARANTINE_POLL_SECONDS = 1.0
_QUARANTINED_DOCUMENTS_A_POLL = 20


class Poller:
    """A thread that processes documents one at a time, until it is stopped."""

    def __init__(
        self,
        name: str,
        *,
        find: Callable[[], Sequence[int]],
        process: Callable[[int], None],
        is_over: Callable[[], bool],
        poll_seconds: float,
        seconds_after_work: float,
        seconds_after_failure: float,
    ) -> None:
        """`find` returns document ids in the order in which `process` takes them. The thread sleeps for
        `poll_seconds` after a poll that finds none. `is_over`: True once the worker stops."""
        self._name, self._find, self._process = name, find, process
        self._is_worker_stopping = is_over
        self._poll_seconds, self._seconds_after_work = poll_seconds, seconds_after_work
        self._seconds_after_failure = seconds_after_failure
        self._is_stopped = threading.Event()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def stop(self) -> None:
        """Takes no further document; the one in progress goes on."""
        self._is_stopped.set()

    def _run(self) -> None:
        while not (self._is_stopped.is_set() or self._is_worker_stopping()):
            wait_seconds = self._poll_seconds
            try:
                document_ids = self._find()
                for document_id in document_ids:
                    self._process(document_id)
                if document_ids:
                    wait_seconds = self._seconds_after_work
            except Exception as error:  # noqa: BLE001  the database may be back at the next poll
                log.warning("the %s poller failed: %s", self._name, type(error).__name__)
                wait_seconds = self._seconds_after_failure
            self._is_stopped.wait(wait_seconds)


def urgent_poller(queries: Queries, context: WorkerContext) -> Poller:
    """Processes urgent documents.

    All other threads may hold nightly documents for minutes, and a message waits for the first free one.
    """
    find = partial(
        queries.owed_documents,
        serving_id=context.serving.id,
        older_than_seconds=0,
        limit=1,
        is_urgent=True,
        is_quarantined=False,
    )
    return Poller(
        "urgent",
        find=find,
        process=lambda document_id: process_document(document_id, context),
        is_over=lambda: context.shutdown.is_requested,
        poll_seconds=URGENT_POLL_SECONDS,
        seconds_after_work=0.0,
        seconds_after_failure=URGENT_POLL_SECONDS,
    )


def quarantine_poller(queries: Queries, context: WorkerContext) -> Poller:
    """Processes quarantined jobs, each document alone in the worker.

    A worker that dies takes all its documents in progress along, and at most one is to blame; an error of the
    engine reaches every document of the batch. Run again alone, the innocent finish, and the poison document
    fails for good after `max_kills` or `max_attempts`.
    """
    find = partial(
        queries.owed_documents,
        serving_id=context.serving.id,
        older_than_seconds=0,
        limit=_QUARANTINED_DOCUMENTS_A_POLL,
        is_quarantined=True,
    )
    return Poller(
        "quarantine",
        find=find,
        process=lambda document_id: process_document(document_id, context, is_isolated=True),
        is_over=lambda: context.shutdown.is_requested,
        poll_seconds=QUARANTINE_POLL_SECONDS,
        seconds_after_work=QUARANTINE_POLL_SECONDS,
        # After an outage the leases of living workers have expired too: they renew them first.
        seconds_after_failure=max(QUARANTINE_POLL_SECONDS, context.settings.lease_seconds / 2),
    )
