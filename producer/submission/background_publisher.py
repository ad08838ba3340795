"""Background publisher: sends messages of one committed batch while the next one is registered.

SQL is the source of truth, so the queue need not hold everything: where it is long, a batch waits briefly and
then goes without messages, so that neither Redis nor a submission without a worker grows or waits without
bound. When Redis fails, registration continues, and the failure is reported at the end.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from models.store.store import Store
from producer.submission.redis_publisher import QueueError, RedisPublisher

_LONGEST_WAIT_SECONDS = 2.0
"""Longest wait for a batch of 500 documents, which keeps a submission at 250 documents a second."""
_LOOK_SECONDS = 0.2


class BackgroundPublisher:
    """Sends in one thread of its own, one batch at a time; does nothing without a URL. A context manager."""

    def __init__(
        self,
        redis_url: str,
        store: Store,
        *,
        message_key: str = "",
        is_urgent: bool = False,
        max_waiting: int = 100_000,
    ) -> None:
        """`max_waiting`: number of messages in Redis from which it slows down and sends none."""
        self.error: QueueError | None = None
        """The first failure; after it nothing more is sent."""
        self._enqueuer = RedisPublisher(redis_url, message_key) if redis_url else None
        self._store = store
        self._is_urgent = is_urgent
        self._max_waiting = max_waiting
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="enqueue")
        self._under_way: Future[None] | None = None

    def __enter__(self) -> BackgroundPublisher:
        """Raises QueueError where no server answers."""
        if self._enqueuer is not None:
            self._enqueuer.check()
        return self

    def __exit__(self, *_error: object) -> None:
        self._thread.shutdown(wait=True)
        if self._enqueuer is not None:
            self._enqueuer.close()

    def publish(self, document_ids: Sequence[int]) -> None:
        """Sends a message for each document; waits only for the batch before."""
        self.wait()
        if document_ids and self._enqueuer is not None and self.error is None:
            self._under_way = self._thread.submit(self._send, self._enqueuer, tuple(document_ids))

    def wait(self) -> None:
        """Waits until everything is sent. Raises the database's errors."""
        if self._under_way is None:
            return
        try:
            self._under_way.result()
        except QueueError as error:
            self.error = error
        finally:
            self._under_way = None

    def _send(self, enqueuer: RedisPublisher, document_ids: tuple[int, ...]) -> None:
        if not self._is_urgent and not self._has_room(enqueuer):
            return  # they stay owed: once the queue is empty, a worker's sweep sends for them
        enqueuer.send(document_ids, is_urgent=self._is_urgent)
        # Only now: a document that was marked and not sent would wait longer for the sweep.
        self._store.mark_enqueued(document_ids)

    def _has_room(self, enqueuer: RedisPublisher) -> bool:
        """True where the queue is short enough, after at most some seconds."""
        deadline = time.monotonic() + _LONGEST_WAIT_SECONDS
        while enqueuer.waiting() >= self._max_waiting:
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_SECONDS)
        return True
