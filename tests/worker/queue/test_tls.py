"""Redis and PostgreSQL over TLS: a certificate of the right authority is needed, and no other is taken.

The servers in the wheels are built without TLS, so a real TLS endpoint stands before each, as stunnel would.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme
from redis_server import RedisServer
from sqlalchemy import text

from models.schema.database import DatabaseUnavailableError, connect, read_transaction
from producer.submission.redis_publisher import QueueError, RedisPublisher, queue_length

pytest_plugins = ("redis_server",)


def carry(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while content := one.recv(65_536):
            other.sendall(content)
    for end in (one, other):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def serve(door: socket.socket, context: ssl.SSLContext, behind: str, is_postgresql: bool = False) -> None:
    with suppress(OSError):
        while True:
            plain, _ = door.accept()
            with suppress(ssl.SSLError, OSError):
                if is_postgresql:  # its clients ask in the clear whether there is TLS
                    assert plain.recv(8) == struct.pack("!ii", 8, 80877103)
                    plain.sendall(b"S")
                client, server = context.wrap_socket(plain, server_side=True), socket.socket(socket.AF_UNIX)
                server.connect(behind)
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=carry, args=ends, daemon=True).start()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@contextmanager
def door_to(authority: trustme.CA, behind: str, *, is_postgresql: bool = False) -> Iterator[int]:
    """The port of a TLS endpoint with a certificate for localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with socket.create_server(("localhost", 0)) as door:
        given = (door, context, behind, is_postgresql)
        threading.Thread(target=serve, args=given, daemon=True).start()
        yield door.getsockname()[1]


@pytest.fixture
def port(authority: trustme.CA, redis_server: RedisServer) -> Iterator[int]:
    with door_to(authority, str(redis_server.folder / "redis.sock")) as number:
        yield number


def test_messages_go_over_tls_where_the_certificate_is_of_the_authority(
    authority: trustme.CA, port: int, tmp_path: Path, redis_server: RedisServer
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with RedisPublisher(f"rediss://localhost:{port}/0?ssl_ca_certs={tmp_path / 'ca.pem'}") as enqueuer:
        enqueuer.send([1, 2])
    assert queue_length(redis_server.url).waiting == 2


def test_a_certificate_of_another_authority_is_refused(port: int, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for query in (f"?ssl_ca_certs={tmp_path / 'ca.pem'}", ""):
        with pytest.raises(QueueError, match="cannot be used"):
            RedisPublisher(f"rediss://localhost:{port}/0{query}").check()


def test_a_plain_connection_to_a_tls_server_is_an_error_of_one_line(port: int) -> None:
    with pytest.raises(QueueError, match="cannot be used"):
        RedisPublisher(f"redis://localhost:{port}/0").check()


def test_postgresql_is_reached_over_tls_with_the_right_certificate_alone(
    authority: trustme.CA, postgres: str, tmp_path: Path
) -> None:
    for name, ca in (("ca.pem", authority), ("other.pem", trustme.CA())):
        ca.cert_pem.write_to_path(str(tmp_path / name))
    with door_to(authority, f"{postgres}/.s.PGSQL.5432", is_postgresql=True) as number:
        url = f"postgresql://postgres@localhost:{number}/postgres?sslmode=verify-full&sslrootcert={tmp_path}"
        with read_transaction(connect(f"{url}/ca.pem")) as connection:
            assert connection.scalar(text("SELECT 1")) == 1
        with pytest.raises(DatabaseUnavailableError, match="cannot be used now"):
            connect(f"{url}/other.pem")


def test_postgresql_without_tls_is_refused_where_tls_is_asked_for() -> None:
    with socket.create_server(("localhost", 0)) as door:
        answer = threading.Thread(target=lambda: door.accept()[0].sendall(b"N"), daemon=True)
        answer.start()
        with pytest.raises(DatabaseUnavailableError, match="SSL"):
            connect(f"postgresql://postgres@localhost:{door.getsockname()[1]}/postgres?sslmode=require")
