"""Publishes document ids to Redis as Celery task messages in pipelined batches. Does not import SQL."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from celery import Celery
from kombu import Connection, Producer
from kombu.exceptions import ChannelError, KombuError

from models.errors import NotemillError
from models.messages import (
    PRIORITY_STEPS,
    QUEUE_NAME,
    TASK_NAME,
    DocumentMessage,
    priority_of,
    signed_headers,
)

SCHEMES = ("redis://", "rediss://", "redis+socket://")
MESSAGES_A_PIPELINE = 500
"""Messages in one round trip, about 0.4 MB."""
ATTEMPTS = 3
SECONDS_BETWEEN_ATTEMPTS = 0.5
CONNECT_TIMEOUT_SECONDS = 5.0
SOCKET_TIMEOUT_SECONDS = 30.0
"""Timeout, without which publishing waits forever for a server that vanished behind a firewall."""


class QueueError(NotemillError):
    """Redis does not answer, or refuses a command."""


class QueueLength(NamedTuple):
    """Numbers of messages."""

    waiting: int
    unacknowledged: int
    """Messages taken by a worker and not finished, over every Celery queue in this Redis database."""

    @property
    def total(self) -> int:
        return self.waiting + self.unacknowledged


class RedisPublisher:
    """Sends messages to the worker's queue; one thread at a time. A context manager."""

    def __init__(self, redis_url: str, message_key: str = "") -> None:
        self._app = _app(redis_url)
        self._message_key = message_key
        self._connection: Connection = self._app.connection_for_write()

    def __enter__(self) -> RedisPublisher:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.release()

    def check(self) -> None:
        """Raises QueueError where no server answers, before anything is registered."""
        with _reported(self._connection):
            _connect(self._connection)

    def send(self, document_ids: Sequence[int], *, is_urgent: bool = False) -> None:
        """One message a document, in the order given; returns when Redis has them all. Urgent ones are
        taken before all others.

        Raises QueueError after ATTEMPTS. Some may have arrived then, and some twice: a message only
        says "look at what SQL owes for this document", so neither matters.
        """
        with _reported(self._connection):
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    self._send_once(document_ids, priority_of(is_urgent=is_urgent))
                    break
                except _errors(self._connection):
                    if attempt == ATTEMPTS:
                        raise
                    self._start_over()
                    time.sleep(SECONDS_BETWEEN_ATTEMPTS * attempt)

    def waiting(self) -> int:
        """Messages that wait in the worker's queue. Raises QueueError."""
        with _reported(self._connection):
            _connect(self._connection)
            return _waiting(self._connection.default_channel)

    def _start_over(self) -> None:
        """Opens a new connection: a failed pipeline leaves its socket in the middle of a reply."""
        self._connection.release()
        self._connection = self._app.connection_for_write()

    def _send_once(self, document_ids: Sequence[int], priority: int) -> None:
        _connect(self._connection)
        producer = Producer(self._connection)
        with producer.batch(max_size=MESSAGES_A_PIPELINE):
            for document_id in document_ids:
                self._publish(producer, DocumentMessage(document_id=document_id), priority)

    def _publish(self, producer: Producer, message: DocumentMessage, priority: int) -> None:
        self._app.send_task(
            TASK_NAME,
            kwargs=message.model_dump(),
            producer=producer,
            # A queue of type direct goes through the default exchange: kombu pushes to the list of that
            # name and reads no binding, so a Redis that was flushed loses no message sent after it.
            queue=QUEUE_NAME,
            declare=[],
            headers=signed_headers(self._message_key, message.document_id),
            priority=priority,
            argsrepr="()",
            kwargsrepr=repr(message.model_dump()),
            ignore_result=True,
            retry=False,  # in a pipeline nothing is sent yet; the pipeline as a whole is retried
        )


def queue_length(redis_url: str) -> QueueLength:
    """The messages of the worker's queue now. Raises QueueError where no server answers."""
    with _app(redis_url).connection_for_read() as connection, _reported(connection):
        _connect(connection)
        channel = connection.default_channel
        return QueueLength(waiting=_waiting(channel), unacknowledged=channel.client.hlen(channel.unacked_key))


def _waiting(channel: Any) -> int:
    try:  # sums the lists of all priorities
        return int(channel.queue_declare(queue=QUEUE_NAME, passive=True).message_count)
    except ChannelError:  # Redis drops a list with its last element
        return 0


def _app(redis_url: str) -> Celery:
    if not redis_url.startswith(SCHEMES):
        raise QueueError(f"NOTEMILL_REDIS_URL has to begin with {', '.join(SCHEMES)}.")
    app = Celery("notemill.producer", broker=redis_url, set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE_NAME,
        task_serializer="json",
        accept_content=["json"],
        result_backend=None,
        task_ignore_result=True,
        # kombu's own default for rediss:// is to trust any certificate.
        broker_use_ssl={"ssl_cert_reqs": ssl.CERT_REQUIRED} if redis_url.startswith("rediss://") else None,
        broker_transport_options={
            "priority_steps": PRIORITY_STEPS,
            "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "socket_timeout": SOCKET_TIMEOUT_SECONDS,
        },
    )
    return app


def _connect(connection: Connection) -> None:
    """Opens the connection and pings; does nothing where it is open."""
    connection.ensure_connection(max_retries=1, interval_start=0, timeout=CONNECT_TIMEOUT_SECONDS)


def _errors(connection: Connection) -> tuple[type[BaseException], ...]:
    return (*connection.connection_errors, *connection.channel_errors, KombuError, OSError, ValueError)


@contextmanager
def _reported(connection: Connection) -> Iterator[None]:
    try:
        yield
    except _errors(connection) as error:
        raise QueueError(
            f"Redis at {_url_without_password(connection)} cannot be used ({_kind(error)})."
            " Check NOTEMILL_REDIS_URL, then type: notemill doctor"
        ) from None


def _kind(error: BaseException) -> str:
    cause: Any = error.__cause__ or error
    return type(cause).__name__


def _url_without_password(connection: Connection) -> str:
    return str(connection.as_uri(include_password=False)).replace("://:**@", "://")
