"""Redis users of docker-compose.yml: they can do their work and nothing else."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

import pytest
import redis
from redis_server import RedisServer
from workshop import ROOT

from producer.submission.redis_publisher import RedisPublisher, queue_length

if TYPE_CHECKING:
    from workshop import Workshop

pytest_plugins = ("redis_server", "workshop")


@pytest.fixture
def address(redis_server: RedisServer) -> str:
    """Returns HOST:PORT of a server with the users of the compose file; each has the password `secret`."""
    compose = (ROOT / "docker-compose.yml").read_text("utf-8")
    users = re.findall(r"^ +user (notemill_\w+) on >\S+ (.*)$", compose, re.MULTILINE)
    assert [name for name, _ in users] == ["notemill_worker", "notemill_producer", "notemill_flower"]
    for name, rules in users:
        redis_server.client.execute_command("ACL", "SETUSER", name, "on", ">secret", *rules.split())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    redis_server.client.config_set("port", port)
    return f"127.0.0.1:{port}"


def test_a_producer_can_send_and_a_worker_can_process(address: str, workshop: Workshop) -> None:
    ids = workshop.register("No fever.")
    producer = f"redis://notemill_producer:secret@{address}/0"
    with RedisPublisher(producer) as enqueuer:
        enqueuer.check()
        enqueuer.send(ids)
    assert queue_length(producer).waiting == 1
    workshop.redis_url = f"redis://notemill_worker:secret@{address}/0"
    worker = workshop.start()
    workshop.until_all("finished")
    assert "NOPERM" not in worker.log


@pytest.mark.parametrize("name", ["notemill_worker", "notemill_producer", "notemill_flower"])
def test_no_user_can_change_or_empty_the_server(address: str, name: str) -> None:
    client = redis.Redis.from_url(f"redis://{name}:secret@{address}/0")
    for command in ("FLUSHALL", "CONFIG GET *", "ACL LIST", "KEYS *", "SHUTDOWN", "MONITOR", "GET other"):
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*command.split())


def test_flower_can_read_the_queue_length_and_cannot_change_the_queue(address: str) -> None:
    client = redis.Redis.from_url(f"redis://notemill_flower:secret@{address}/0")
    assert client.llen("notemill") == 0
    for command in ("RPOP notemill", "BRPOP notemill 1", "DEL notemill", "LPUSH notemill x", "LPUSH other x"):
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*command.split())


def test_a_producer_cannot_take_messages_or_write_other_keys(address: str) -> None:
    client = redis.Redis.from_url(f"redis://notemill_producer:secret@{address}/0")
    for command in ("RPOP notemill", "BRPOP notemill 1", "DEL notemill", "LPUSH other x", "SUBSCRIBE a"):
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*command.split())
