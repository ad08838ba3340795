"""Validates messages from Redis before Celery acts on them; a malformed message is rejected, never fatal.

Celery 5.7 ends the worker on a message that is JSON but not a task ("Unrecoverable error"), and logs the
body of an unknown one. Here the log says what is wrong, without the content.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from queue import Empty
from typing import Any

from celery.app.amqp import AMQP
from celery.worker.consumer import Consumer
from kombu import Connection
from kombu.transport import redis
from pydantic import ValidationError
from redis.exceptions import RedisError

from models.messages import (
    MAX_BODY_BYTES,
    REFUSED_LIST,
    SIGNATURE_HEADER,
    TASK_NAME,
    DocumentMessage,
    is_signed,
)

log = logging.getLogger(__name__)

_MAX_REFUSALS = 1_000
_MALFORMED = (ValueError, TypeError, LookupError, AttributeError, RecursionError)


class BadMessageError(Exception):
    """A message is not for this application; the text says why, in fixed words."""


class CheckedConsumer(Consumer):  # type: ignore[misc]
    """Celery's consumer with a check of each message."""

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], None]:
        handle = super().create_task_handler(*args, **options)

        def on_message(message: Any) -> None:
            try:
                check(message, self.app.settings.message_key.get_secret_value())
                handle(message)
            except self.connection_errors:
                raise
            except Exception as error:  # noqa: BLE001  no message may end the worker
                why = str(error) if isinstance(error, BadMessageError) else type(error).__name__
                log.warning("a message is rejected: %s", why)
                _record_refusal(message, why)
                message.reject_log_error(log, self.connection_errors)

        return on_message


def check(message: Any, message_key: str = "") -> None:
    """Raises BadMessageError unless the message is one document id for our task, signed where there is a key.

    Both of Celery's message protocols are understood: 2 (the task in the headers) and 1 (all in the body).
    """
    if len(message.body or b"") > MAX_BODY_BYTES:
        raise BadMessageError(f"longer than {MAX_BODY_BYTES} bytes")
    try:
        name, args, kwargs = _task_of(message)
    except Exception as error:  # noqa: BLE001  decoding of foreign input may fail in any way
        raise BadMessageError(f"not a task message ({type(error).__name__})") from None
    if name != TASK_NAME:
        raise BadMessageError("for another task")
    if args or not isinstance(kwargs, dict):
        raise BadMessageError("document_id has to be a keyword argument, and the only one")
    try:
        document_id = DocumentMessage(**kwargs).document_id
    except (ValidationError, TypeError) as error:
        raise BadMessageError(_fixed_words(error)) from None
    if message_key and not is_signed(message_key, document_id, message.headers.get(SIGNATURE_HEADER)):
        raise BadMessageError("not signed with our NOTEMILL_MESSAGE_KEY")


def _record_refusal(message: Any, why: str) -> None:
    """Adds the refusal to a short list in Redis, without the content, which may be text of a note."""
    body = message.body or b""
    raw = body if isinstance(body, bytes) else str(body).encode("utf-8", "replace")
    at = datetime.now(UTC).isoformat(timespec="seconds")
    entry = {"at": at, "why": why, "bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    client = message.channel.client
    try:
        client.lpush(REFUSED_LIST, json.dumps(entry))
        client.ltrim(REFUSED_LIST, 0, _MAX_REFUSALS - 1)
    except (RedisError, OSError) as error:
        log.warning("a refused message could not be recorded: %s", type(error).__name__)


def _task_of(message: Any) -> tuple[Any, Any, Any]:
    payload = message.payload
    if "task" in message.headers:
        args, kwargs, _embedded = payload
        return message.headers["task"], args, kwargs
    return payload["task"], payload.get("args"), payload["kwargs"]


def _fixed_words(error: ValidationError | TypeError) -> str:
    """The problem, without the name or the value of anything in the message."""
    if isinstance(error, TypeError):
        return "argument names have to be text"
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return "unknown argument" if first["type"] == "extra_forbidden" else f"document_id: {first['msg']}"


class RedisMessage(redis.Channel.Message):  # type: ignore[misc]
    """Kombu's message that tolerates a second acknowledgement.

    Where no thread can start, as without memory, the pool refuses a task that it has already queued: the
    message is rejected, the task runs all the same, and its acknowledgement would end the worker.
    """

    def ack(self, *args: Any, **options: Any) -> None:
        if not self.acknowledged:
            super().ack(*args, **options)


class _Channel(redis.Channel):  # type: ignore[misc]
    """Kombu's channel that drops malformed entries where it reads them, and survives a broken connection.

    A message taken over a connection that broke is not acknowledged: kombu 5.7 raises an AttributeError
    there, which ends the worker. The message comes again and finds no owed job. A closed channel that creates
    a new client raises ConnectionError instead, so that Celery connects again.
    """

    Message = RedisMessage
    _cached_client: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        """Keeps one client for each connection pool; kombu creates one for each command."""
        if asynchronous:
            return super()._create_client(asynchronous=True)
        if self._cached_client is None or self._cached_client.connection_pool is not self.pool:
            self._cached_client = super()._create_client()
        return self._cached_client

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except _MALFORMED as error:
            log.warning("an entry of the queue is dropped: not a message (%s)", type(error).__name__)
            raise Empty from None

    def _connparams(self, *args: Any, **options: Any) -> Any:
        if self.connection is None:
            raise ConnectionError("the channel is closed")
        return super()._connparams(*args, **options)

    def basic_ack(self, *args: Any, **options: Any) -> None:
        if not self.closed:
            super().basic_ack(*args, **options)

    def basic_reject(self, *args: Any, **options: Any) -> None:
        if not self.closed:
            super().basic_reject(*args, **options)


class _Transport(redis.Transport):  # type: ignore[misc]
    Channel = _Channel


class _Connection(Connection):  # type: ignore[misc]
    def get_transport_cls(self) -> type[redis.Transport]:
        return _Transport


class CheckedAMQP(AMQP):  # type: ignore[misc]
    """Celery's messaging with the transport above."""

    Connection = _Connection
    BrokerConnection = _Connection
