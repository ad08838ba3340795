"""Sweep: sends a new message for each document that SQL says is owed and Redis has lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from celery import Celery
from kombu import Exchange, Queue

from models.messages import QUEUE_NAME, TASK_NAME, priority_of, signed_headers
from models.queries.queries import Queries
from models.store.store import Store

if TYPE_CHECKING:
    from sqlalchemy import Engine

log = logging.getLogger(__name__)

QUEUE = Queue(QUEUE_NAME, Exchange(""), routing_key=QUEUE_NAME)
"""The queue on the nameless exchange. Kombu keeps bindings of named exchanges in Redis (`_kombu.binding.…`),
where a flush loses them and messages go nowhere; with the nameless one the routing key is the list."""

SWEEP_SECONDS = 2.0
_MINIMUM_AGE_SECONDS = 5.0
"""A document enqueued less than this ago may be between Redis and its claim."""
_DOCUMENTS_A_SWEEP = 1_000


def sweep(app: Celery, database: Engine, serving_id: str | None, *, message_key: str = "") -> int:
    """Sends a message for each owed document where the queue is empty, and for urgent ones where no urgent
    message waits; returns the number of messages.

    `serving_id`: only documents that this serving can answer. An extra message does no harm.
    """
    return sum(
        _send_owed(app, database, serving_id, message_key, is_urgent=is_urgent)
        for is_urgent, is_empty in ((True, _is_none_urgent), (False, _is_empty))
        if is_empty(app)
    )


def _send_owed(
    app: Celery, database: Engine, serving_id: str | None, message_key: str, *, is_urgent: bool
) -> int:
    owed = Queries(database).owed_documents(
        serving_id=serving_id,
        older_than_seconds=_MINIMUM_AGE_SECONDS,
        limit=_DOCUMENTS_A_SWEEP,
        is_urgent=is_urgent,
        is_quarantined=False,  # those are for the quarantine poller (worker.queue.dedicated_pollers)
    )
    if owed:
        # Marked before they are sent: a sweep that dies in between leaves them to the next one.
        Store(database).mark_enqueued(owed)
        with app.producer_or_acquire() as producer:
            for document_id in owed:
                app.send_task(
                    TASK_NAME,
                    kwargs={"document_id": document_id},
                    headers=signed_headers(message_key, document_id),
                    queue=QUEUE_NAME,
                    priority=priority_of(is_urgent=is_urgent),
                    producer=producer,
                )
        log.info("%d owed documents enqueued again", len(owed))
    return len(owed)


def _is_empty(app: Celery) -> bool:
    return queue_length(app) == 0


def _is_none_urgent(app: Celery) -> bool:
    """True where no urgent message waits: a lost urgent one is not kept back by nightly messages."""
    with app.connection_for_write() as connection:
        return not connection.default_channel.client.llen(QUEUE_NAME)  # the list of priority 0


def queue_length(app: Celery) -> int:
    """Number of messages waiting in Redis, over all priorities."""
    with app.connection_for_write() as connection:
        return int(QUEUE.bind(connection.default_channel).queue_declare().message_count)


class Sweeper:
    """A thread that sweeps regularly, the first time at once."""

    def __init__(self, sweep_once: Callable[[], int]) -> None:
        self._sweep_once = sweep_once
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._sweep, name="sweeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()

    def _sweep(self) -> None:
        while not self._is_over.is_set():
            try:
                self._sweep_once()
            except Exception as error:  # noqa: BLE001  Redis or SQL may be back at the next sweep
                log.warning("the sweep failed: %s", type(error).__name__)
            self._is_over.wait(SWEEP_SECONDS)
