"""Message validation in a worker: own, foreign, damaged and repeated messages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu import Connection
from kombu.message import Message
from pydantic import SecretStr

from models.answers import Task
from models.documents import Document
from models.jobs import Question, Serving, recipe_for
from models.messages import QUEUE_NAME, REFUSED_LIST, SIGNATURE_HEADER, TASK_NAME, signature
from models.store.store import Store
from producer.submission.redis_publisher import RedisPublisher
from worker.queue.message_validation import BadMessageError, CheckedAMQP, check

if TYPE_CHECKING:
    from workshop import Workshop

pytest_plugins = ("redis_server", "workshop")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
NOT_MESSAGES = [
    b"SECRET",
    b"\xff\xfe",
    b"null",
    b"5",
    b'["SECRET"]',
    b'{"a": "SECRET"}',
    b'{"properties": {"delivery_tag": "SECRET"}, "headers": {}, "body": "SECRET"}',
    b'{"properties": {"delivery_tag": {"a": 1}, "delivery_info": {"exchange": "", "routing_key": ""}}}',
    b"[" * 100_000,
]


def message(body: Any, **headers: Any) -> Message:
    content = {"content_type": "application/json", "content_encoding": "utf-8"}
    return Message(body=json.dumps(body), headers=headers, channel=None, **content)


def test_a_client_that_knows_only_the_task_and_a_document_id_is_served(workshop: Workshop) -> None:
    ids = workshop.register("No fever.")
    workshop.start()
    workshop.send(document_id=ids[0])
    workshop.until_all("finished")


def test_a_client_with_the_old_protocol_is_served(workshop: Workshop) -> None:
    ids = workshop.register("No fever.")
    workshop.send(document_id=ids[0], protocol=1)
    assert "task" not in json.loads(workshop.redis.lindex(QUEUE_NAME, 0))["headers"]
    workshop.start()
    workshop.until_all("finished")


def test_a_repeated_message_does_nothing(workshop: Workshop) -> None:
    ids = workshop.submit("No fever.")
    worker = workshop.start()
    workshop.until_all("finished")
    workshop.send(document_id=ids[0])
    worker.says("nothing owed")
    assert workshop.answers_asked == 1
    assert workshop.column("SELECT COUNT(*) FROM attempts") == [1]


def test_bad_messages_are_rejected_in_fixed_words_and_the_worker_goes_on(workshop: Workshop) -> None:
    worker = workshop.start(log_level="DEBUG")
    workshop.send(document_id="SECRET")
    workshop.send(document_id=1.5)
    workshop.send(document_id=0)
    workshop.send(document_id=1, SECRET="SECRET")
    workshop.send("SECRET")
    workshop.send(document_id=1, task="SECRET")
    workshop.send(document_id="SECRET", protocol=1)
    worker.says("a message is rejected", times=7)
    workshop.submit("No fever.")
    workshop.until_all("finished")
    assert "SECRET" not in worker.log


def test_messages_and_jobs_of_a_newer_notemill_are_left_pending(workshop: Workshop) -> None:
    (id_,) = workshop.register("No fever.")
    newer = {task.value: {"prompt": "of the next version"} for task in Task}
    recipe = recipe_for(Task.SEARCH, Serving(ingredients={"tasks": newer}), ())
    store, question = Store(workshop.database), Question(task=Task.SEARCH, parameters={"query": "fever"})
    run_id = store.open_run(questions=[question], recipes=[recipe], sources=[])
    store.register(run_id, [Document(external_id="a", text="Later.")], [question], {Task.SEARCH: recipe})
    worker = workshop.start()
    workshop.send(document_id=id_ + 1, version=2)
    workshop.send(document_id=id_ + 1)
    worker.says("a message is rejected: unknown argument")
    worker.says("nothing owed")
    workshop.until(lambda: workshop.statuses() == ["finished", "pending"])
    assert workshop.column("SELECT attempts FROM jobs WHERE status = 'pending'") == [0]


def test_a_queue_entry_that_is_no_message_is_dropped_and_the_worker_goes_on(workshop: Workshop) -> None:
    worker = workshop.start(log_level="DEBUG")
    for entry in NOT_MESSAGES:
        workshop.redis.lpush(QUEUE_NAME, entry)
    worker.says("an entry of the queue is dropped", times=len(NOT_MESSAGES))
    workshop.submit("No fever.")
    workshop.until_all("finished")
    assert "SECRET" not in worker.log


def test_a_message_with_damaged_headers_does_not_end_the_worker(workshop: Workshop) -> None:
    with Connection(workshop.redis_url) as connection:
        producer = connection.Producer()
        for headers in ({"timelimit": 5}, {"eta": "SECRET"}, {"id": None}, {}):
            body = [[], {"document_id": 1}, {}]
            headers = {"task": TASK_NAME, "id": "a", **headers}
            producer.publish(body, serializer="json", routing_key=QUEUE_NAME, headers=headers)
    worker = workshop.start()
    workshop.submit("No fever.")
    workshop.until_all("finished")
    assert "SECRET" not in worker.log


def test_a_rejected_message_can_be_acknowledged_later(
    workshop: Workshop,
) -> None:
    workshop.send(document_id=1)
    with CheckedAMQP.Connection(workshop.redis_url) as connection:
        taken = connection.default_channel.basic_get(QUEUE_NAME)
        taken.reject()  # the pool could begin no thread for it
        taken.ack()  # and came to it later
    assert not workshop.redis.exists("unacked")


def test_a_channel_keeps_one_client_as_long_as_its_connections(redis_url: str) -> None:
    with CheckedAMQP.Connection(redis_url) as connection:
        channel = connection.default_channel
        with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
            assert first is second
        channel._disconnect_pools()
        with channel.conn_or_acquire() as reconnected:
            assert reconnected is not first
            assert reconnected.ping()


def test_a_message_for_a_missing_document_does_nothing(workshop: Workshop) -> None:
    worker = workshop.start()
    workshop.send(document_id=10**12)
    worker.says("nothing owed")


def test_acknowledged_messages_leave_nothing_in_redis(workshop: Workshop) -> None:
    workshop.submit("No fever.")
    workshop.start()
    workshop.until_all("finished")
    workshop.until(lambda: not workshop.redis.exists("unacked", "unacked_index", QUEUE_NAME))


@pytest.mark.parametrize("document_id", [1, 2**62])
def test_a_document_id_alone_is_a_valid_message(document_id: int) -> None:
    check(message([[], {"document_id": document_id}, {}], task=TASK_NAME))
    check(message({"task": TASK_NAME, "args": [], "kwargs": {"document_id": document_id}}))


@given(body=JSON, task=st.sampled_from([TASK_NAME, "another"]) | JSON)
def test_any_other_json_is_an_invalid_message(body: Any, task: Any) -> None:
    for headers in ({"task": task}, {}):
        with pytest.raises(BadMessageError):
            check(message(body, **headers))


@given(value=JSON.filter(lambda value: type(value) is not int or value < 1), name=st.text())
def test_the_reason_of_a_rejection_quotes_nothing(value: Any, name: str) -> None:
    fixed = ("document_id: Input should be", "document_id: Field required", "unknown argument")
    for kwargs in ({"document_id": value}, {"document_id": 1, f"{name}!": 1}):
        with pytest.raises(BadMessageError) as caught:
            check(message([[], kwargs, {}], task=TASK_NAME))
        assert str(caught.value).startswith(fixed)


def test_a_worker_with_a_key_accepts_only_signed_messages(workshop: Workshop) -> None:
    key = "a key of our own"
    ids = workshop.register("No fever.", "Fever.")
    worker = workshop.start(message_key=SecretStr(key), log_level="DEBUG")
    forged = {"document_id": ids[0]}
    workshop.send(**forged)
    for signature_given in (signature("another key of ours", ids[0]), signature(key, ids[1]), 7, "ä", None):
        headers = {SIGNATURE_HEADER: signature_given}
        workshop.stranger().send_task(TASK_NAME, kwargs=forged, queue=QUEUE_NAME, headers=headers)
    worker.says("not signed with our NOTEMILL_MESSAGE_KEY", times=6)
    workshop.until_all("finished")  # by the sweep, which signs
    entries = [json.loads(entry) for entry in workshop.redis.lrange(REFUSED_LIST, 0, -1)]
    assert {entry["why"] for entry in entries} == {"not signed with our NOTEMILL_MESSAGE_KEY"}
    assert worker.log.count("a message is rejected") == len(entries) == 6


def test_a_message_signed_by_a_producer_is_accepted(workshop: Workshop) -> None:
    key = "a key of our own"
    ids = workshop.register("No fever.")
    Store(workshop.database).mark_enqueued(ids)  # the sweep leaves it alone
    worker = workshop.start(message_key=SecretStr(key))
    with RedisPublisher(workshop.redis_url, key) as enqueuer:
        enqueuer.send(ids)
    workshop.until_all("finished")
    assert "rejected" not in worker.log


def test_a_message_that_is_too_long_is_rejected_and_not_stored(workshop: Workshop) -> None:
    worker = workshop.start()
    workshop.send(document_id=1, text="SECRET" * 10_000)
    worker.says("a message is rejected: longer than 16384 bytes")
    assert b"SECRET" not in b"".join(workshop.redis.lrange(REFUSED_LIST, 0, -1))
