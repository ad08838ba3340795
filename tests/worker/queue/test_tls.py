"""Redis and PostgreSQL over TLS: only a certificate of the configured authority is accepted.

The servers in the wheels are built without TLS, so a TLS proxy is in front of each, as with stunnel.
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


def forward(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(65_536):
            target.sendall(content)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def serve(
    listener: socket.socket, context: ssl.SSLContext, socket_path: str, is_postgresql: bool = False
) -> None:
    with suppress(OSError):
        while True:
            plain, _ = listener.accept()
            with suppress(ssl.SSLError, OSError):
                if is_postgresql:  # its clients ask in the clear whether there is TLS
                    assert plain.recv(8) == struct.pack("!ii", 8, 80877103)
                    plain.sendall(b"S")
                client, server = context.wrap_socket(plain, server_side=True), socket.socket(socket.AF_UNIX)
                server.connect(socket_path)
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=forward, args=ends, daemon=True).start()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@contextmanager
def tls_proxy(authority: trustme.CA, socket_path: str, *, is_postgresql: bool = False) -> Iterator[int]:
    """Yields the port of a TLS proxy with a certificate for localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with socket.create_server(("localhost", 0)) as listener:
        arguments = (listener, context, socket_path, is_postgresql)
        threading.Thread(target=serve, args=arguments, daemon=True).start()
        yield listener.getsockname()[1]


@pytest.fixture
def port(authority: trustme.CA, redis_server: RedisServer) -> Iterator[int]:
    with tls_proxy(authority, str(redis_server.folder / "redis.sock")) as number:
        yield number


def test_messages_go_over_tls_with_a_certificate_of_the_authority(
    authority: trustme.CA, port: int, tmp_path: Path, redis_server: RedisServer
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with RedisPublisher(f"rediss://localhost:{port}/0?ssl_ca_certs={tmp_path / 'ca.pem'}") as enqueuer:
        enqueuer.send([1, 2])
    assert queue_length(redis_server.url).waiting == 2


def test_a_certificate_of_another_authority_is_rejected(port: int, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for query in (f"?ssl_ca_certs={tmp_path / 'ca.pem'}", ""):
        with pytest.raises(QueueError, match="cannot be used"):
            RedisPublisher(f"rediss://localhost:{port}/0{query}").check()


def test_a_plain_connection_to_a_tls_server_is_an_error_of_one_line(port: int) -> None:
    with pytest.raises(QueueError, match="cannot be used"):
        RedisPublisher(f"redis://localhost:{port}/0").check()


def test_postgresql_is_reached_over_tls_only_with_the_right_certificate(
    authority: trustme.CA, postgres: str, tmp_path: Path
) -> None:
    for name, ca in (("ca.pem", authority), ("other.pem", trustme.CA())):
        ca.cert_pem.write_to_path(str(tmp_path / name))
    with tls_proxy(authority, f"{postgres}/.s.PGSQL.5432", is_postgresql=True) as number:
        url = f"postgresql://postgres@localhost:{number}/postgres?sslmode=verify-full&sslrootcert={tmp_path}"
        with read_transaction(connect(f"{url}/ca.pem")) as connection:
            assert connection.scalar(text("SELECT 1")) == 1
        with pytest.raises(DatabaseUnavailableError, match="cannot be used now"):
            connect(f"{url}/other.pem")


def test_postgresql_without_tls_is_an_error_if_tls_is_required() -> None:
    with socket.create_server(("localhost", 0)) as listener:
        answer = threading.Thread(target=lambda: listener.accept()[0].sendall(b"N"), daemon=True)
        answer.start()
        with pytest.raises(DatabaseUnavailableError, match="SSL"):
            connect(f"postgresql://postgres@localhost:{listener.getsockname()[1]}/postgres?sslmode=require")
