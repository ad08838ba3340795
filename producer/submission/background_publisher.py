"""Rings for what is committed: messages of one batch go out while the next one is read.

SQL is the truth, so the queue need not hold everything: where it is long, a batch waits a moment and then
goes without messages, so that neither Redis nor a submit without a worker grows or waits without bound.
When Redis fails on the way, registering goes on, and the failure is kept for the end.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from models.store.store import Store
from producer.submission.redis_publisher import Enqueuer, QueueError

_LONGEST_WAIT_SECONDS = 2.0
"""A batch of 500 documents: a submit is held at 250 documents a second, about what workers take."""
_LOOK_SECONDS = 0.2


class Bell:
    """Sends in one thread of its own, one batch at a time; silent without a URL. Use it with `with`."""

    def __init__(
        self,
        redis_url: str,
        store: Store,
        *,
        message_key: str = "",
        is_urgent: bool = False,
        max_waiting: int = 100_000,
    ) -> None:
        """`max_waiting`: messages in Redis from which on it slows down, and sends none."""
        self.error: QueueError | None = None
        """The first failure; after it nothing more is sent."""
        self._enqueuer = Enqueuer(redis_url, message_key) if redis_url else None
        self._store = store
        self._is_urgent = is_urgent
        self._max_waiting = max_waiting
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="enqueue")
        self._under_way: Future[None] | None = None

    def __enter__(self) -> Bell:
        """Raises QueueError where no server answers."""
        if self._enqueuer is not None:
            self._enqueuer.check()
        return self

    def __exit__(self, *_error: object) -> None:
        self._thread.shutdown(wait=True)
        if self._enqueuer is not None:
            self._enqueuer.close()

    def ring(self, document_ids: Sequence[int]) -> None:
        """Sends a message for each document; waits only for the batch before."""
        self.wait()
        if document_ids and self._enqueuer is not None and self.error is None:
            self._under_way = self._thread.submit(self._send, self._enqueuer, tuple(document_ids))

    def wait(self) -> None:
        """Until everything rung for is sent. Raises what the database raises."""
        if self._under_way is None:
            return
        try:
            self._under_way.result()
        except QueueError as error:
            self.error = error
        finally:
            self._under_way = None

    def _send(self, enqueuer: Enqueuer, document_ids: tuple[int, ...]) -> None:
        if not self._is_urgent and not self._has_room(enqueuer):
            return  # they stay owed: once the queue is empty, a worker's sweep sends for them
        enqueuer.send(document_ids, is_urgent=self._is_urgent)
        # Only now: a document that was marked and not sent would wait longer for the sweep.
        self._store.mark_enqueued(document_ids)

    def _has_room(self, enqueuer: Enqueuer) -> bool:
        """After at most some seconds, whether the queue is short enough."""
        deadline = time.monotonic() + _LONGEST_WAIT_SECONDS
        while enqueuer.waiting() >= self._max_waiting:
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_SECONDS)
        return True
