"""The desk for urgent documents: one thread of the worker that takes nothing else.

All other threads may hold nightly documents for minutes, and a message waits for the first that is free. So
this one asks SQL for what is urgent, as often as a person does not mind; a claim decides who gets it.
"""

from __future__ import annotations

import logging
import threading

from models.queries.queries import Queries
from worker.queue.document_task import process_document
from worker.queue.worker_context import Workplace

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5


class UrgentDesk:
    """Works off urgent documents, one at a time, until it is stopped."""

    def __init__(self, queries: Queries, workplace: Workplace) -> None:
        self._queries, self._workplace = queries, workplace
        self._is_over = threading.Event()
        threading.Thread(target=self._serve, name="urgent", daemon=True).start()

    def stop(self) -> None:
        """Takes no more; what is in hand goes on."""
        self._is_over.set()

    def _serve(self) -> None:
        while not (self._is_over.is_set() or self._workplace.stopping.is_asked):
            try:
                found = self._look()
            except Exception as error:  # noqa: BLE001  the database may be back at the next look
                log.warning("the look for urgent documents failed: %s", type(error).__name__)
                found = False
            if not found:
                self._is_over.wait(LOOK_SECONDS)

    def _look(self) -> bool:
        """Works off one document; whether there was one."""
        serving_id = self._workplace.serving.id
        urgent = self._queries.owed_documents(
            serving_id=serving_id, older_than_seconds=0, limit=1, is_urgent=True, is_suspect=False
        )
        for document_id in urgent:
            process_document(document_id, self._workplace)
        return bool(urgent)
