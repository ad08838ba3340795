"""The desk for suspects: one thread of the worker that takes what came to no end before, each alone.

A worker that dies takes along all that it has in hand, and of that at most one document is to blame; an error
of the engine is told to all that were in the batch. So whatever was there runs once more, alone: the
innocent finish, the bad one stands alone, and after `max_kills` or `max_attempts` it fails for good.
"""

from __future__ import annotations

import logging
import threading

from models.queries.queries import Queries
from worker.queue.document_task import process_document
from worker.queue.worker_context import Workplace

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
_DOCUMENTS_A_LOOK = 20


class SuspectDesk:
    """Works off suspects, one at a time, until it is stopped."""

    def __init__(self, queries: Queries, workplace: Workplace) -> None:
        self._queries, self._workplace = queries, workplace
        self._is_over = threading.Event()
        threading.Thread(target=self._serve, name="suspects", daemon=True).start()

    def stop(self) -> None:
        """Takes no more; what is in hand goes on."""
        self._is_over.set()

    def _serve(self) -> None:
        while not (self._is_over.is_set() or self._workplace.stopping.is_asked):
            wait_seconds = LOOK_SECONDS
            try:
                self._look()
            except Exception as error:  # noqa: BLE001  the database may be back at the next look
                log.warning("the look for suspects failed: %s", type(error).__name__)
                # After an outage the leases of the living are over too: they renew them first.
                wait_seconds = max(LOOK_SECONDS, self._workplace.settings.lease_seconds / 2)
            self._is_over.wait(wait_seconds)

    def _look(self) -> None:
        suspects = self._queries.owed_documents(
            serving_id=self._workplace.serving.id,
            older_than_seconds=0,
            limit=_DOCUMENTS_A_LOOK,
            is_suspect=True,
        )
        for document_id in suspects:
            process_document(document_id, self._workplace, is_alone=True)
