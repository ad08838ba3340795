"""Publishing: the messages in Redis, who accepts them, and the errors when Redis fails."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import redis
from celery import Celery
from celery.contrib.testing.worker import start_worker
from redis_server import NIGHTLY_LIST

from models.messages import QUEUE_NAME, TASK_NAME
from models.queries.queries import Queries
from models.store.store import Store
from producer.submission import background_publisher, redis_publisher
from producer.submission.redis_publisher import QueueError, QueueLength, RedisPublisher, queue_length

if TYPE_CHECKING:
    from redis_server import RedisServer
    from workshop import Workshop

pytest_plugins = ("redis_server", "workshop")


def client(redis_url: str) -> redis.Redis:
    return redis.Redis(unix_socket_path=redis_url.removeprefix("redis+socket://"))


def send(redis_url: str, *document_ids: int) -> None:
    with RedisPublisher(redis_url) as enqueuer:
        enqueuer.send(document_ids)


def messages(redis_url: str) -> list[dict[str, Any]]:
    """Returns the waiting messages in the order in which a worker takes them."""
    return [json.loads(raw) for raw in reversed(client(redis_url).lrange(NIGHTLY_LIST, 0, -1))]


def test_each_document_is_one_message_in_order(redis_url: str) -> None:
    send(redis_url, *range(1, 1_502))
    bodies = [json.loads(base64.b64decode(message["body"])) for message in messages(redis_url)]
    assert [body[1] for body in bodies] == [{"document_id": number} for number in range(1, 1_502)]
    assert queue_length(redis_url) == QueueLength(waiting=1_501, unacknowledged=0)


def test_a_message_names_the_task_and_nothing_of_the_document_but_its_id(redis_url: str) -> None:
    send(redis_url, 4_711)
    (message,) = messages(redis_url)
    headers = message["headers"]
    assert (headers["task"], headers["argsrepr"], headers["kwargsrepr"]) == (
        TASK_NAME,
        "()",
        "{'document_id': 4711}",
    )
    assert (message["content-type"], headers["ignore_result"]) == ("application/json", True)


def test_sending_creates_no_key_but_the_queue_so_a_flush_loses_no_route(redis_url: str) -> None:
    send(redis_url, 1)
    client(redis_url).flushall()
    send(redis_url, 2)
    assert client(redis_url).keys("*") == [NIGHTLY_LIST.encode()]


def test_a_plain_celery_worker_accepts_the_messages(redis_url: str) -> None:
    app = Celery(broker=redis_url, set_as_current=False)
    app.conf.update(task_default_queue=QUEUE_NAME, accept_content=["json"])
    taken: list[int] = []

    @app.task(name=TASK_NAME)  # type: ignore[untyped-decorator]
    def process_document(document_id: int) -> None:
        taken.append(document_id)

    send(redis_url, 7, 8, 9)
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=20):
        deadline = time.monotonic() + 20
        while len(taken) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
    assert taken == [7, 8, 9]


def test_the_queue_length_counts_unacknowledged_messages(redis_url: str) -> None:
    send(redis_url, 1, 2, 3)
    app = Celery(broker=redis_url, set_as_current=False)
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        channel.basic_get(QUEUE_NAME)
        length = queue_length(redis_url)
        assert (length, length.total) == (QueueLength(waiting=2, unacknowledged=1), 3)


def test_an_empty_queue_has_the_length_zero(redis_url: str) -> None:
    assert queue_length(redis_url).total == 0


def test_messages_are_sent_after_the_server_restarts(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_publisher.time, "sleep", lambda _seconds: redis_server.start())
    with RedisPublisher(redis_server.url) as enqueuer:
        enqueuer.send([1])
        redis_server.stop()
        enqueuer.send([2, 3])
    # The first message is lost with the server; the sweep sends it again.
    assert queue_length(redis_server.url).waiting == 2


def test_a_server_that_stays_down_is_an_error_that_says_what_to_type(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_publisher, "SECONDS_BETWEEN_ATTEMPTS", 0.01)
    enqueuer = RedisPublisher(redis_server.url)
    enqueuer.send([1])
    redis_server.stop()
    with pytest.raises(QueueError, match="NOTEMILL_REDIS_URL, then type: notemill doctor"):
        enqueuer.send([2])
    with pytest.raises(QueueError):
        queue_length(redis_server.url)


def test_a_server_that_refuses_writes_is_an_error_too(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_publisher, "SECONDS_BETWEEN_ATTEMPTS", 0.01)
    redis_server.client.config_set("maxmemory", 1)
    with pytest.raises(QueueError, match="cannot be used"):
        send(redis_server.url, 1)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:secret@127.0.0.1:1/0",
        "redis+socket://:secret@/tmp/none.sock",
        "redis://:secret@127.0.0.1/abc",
    ],
)
def test_an_error_does_not_show_the_password(url: str) -> None:
    with pytest.raises(QueueError) as raised:
        RedisPublisher(url).check()
    assert "secret" not in str(raised.value)


def test_an_unsupported_url_is_an_error_that_lists_the_supported_schemes() -> None:
    with pytest.raises(QueueError, match="redis://, rediss://, redis\\+socket://"):
        RedisPublisher("amqp://me:secret@host")


def test_a_full_queue_gets_no_more_messages_and_the_documents_stay_owed(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_publisher, "_LONGEST_WAIT_SECONDS", 0.1)
    store = Store(workshop.database)
    ids = workshop.register("one", "two", "three")
    with background_publisher.BackgroundPublisher(workshop.redis_url, store, max_waiting=2) as publisher:
        for id_ in ids:
            publisher.publish([id_])
        publisher.wait()
    assert queue_length(workshop.redis_url).waiting == 2
    assert Queries(workshop.database).owed_documents(older_than_seconds=60, limit=9) == ids[2:]
