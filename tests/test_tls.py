"""Redis over TLS: a certificate of the right authority is needed, and no other is taken.

The wheel's server is built without TLS, so a real TLS endpoint stands before it, as stunnel would.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme
from redis_server import RedisServer

from producer.enqueue import Enqueuer, QueueError, queue_length

pytest_plugins = ("redis_server",)


def carry(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while content := one.recv(65_536):
            other.sendall(content)
    for end in (one, other):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def serve(door: socket.socket, context: ssl.SSLContext, behind: str) -> None:
    with suppress(OSError):
        while True:
            plain, _ = door.accept()
            with suppress(ssl.SSLError, OSError):
                client, server = context.wrap_socket(plain, server_side=True), socket.socket(socket.AF_UNIX)
                server.connect(behind)
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=carry, args=ends, daemon=True).start()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def port(authority: trustme.CA, redis_server: RedisServer) -> Iterator[int]:
    """Of a TLS server with a certificate for localhost, before a Redis server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with socket.create_server(("localhost", 0)) as door:
        behind = str(redis_server.folder / "redis.sock")
        threading.Thread(target=serve, args=(door, context, behind), daemon=True).start()
        yield door.getsockname()[1]


def test_messages_go_over_tls_where_the_certificate_is_of_the_authority(
    authority: trustme.CA, port: int, tmp_path: Path, redis_server: RedisServer
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with Enqueuer(f"rediss://localhost:{port}/0?ssl_ca_certs={tmp_path / 'ca.pem'}") as enqueuer:
        enqueuer.send([1, 2])
    assert queue_length(redis_server.url).waiting == 2


def test_a_certificate_of_another_authority_is_refused(port: int, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for query in (f"?ssl_ca_certs={tmp_path / 'ca.pem'}", ""):
        with pytest.raises(QueueError, match="cannot be used"):
            Enqueuer(f"rediss://localhost:{port}/0{query}").check()


def test_a_plain_connection_to_a_tls_server_is_an_error_of_one_line(port: int) -> None:
    with pytest.raises(QueueError, match="cannot be used"):
        Enqueuer(f"redis://localhost:{port}/0").check()
