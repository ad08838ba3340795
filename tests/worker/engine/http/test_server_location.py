"""Server location: notes leave the machine only if a setting allows it."""

from __future__ import annotations

import pytest

from models.settings import Settings
from worker.engine.http.http_client import NotesWouldLeaveError, ServerClient


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:80", "127.9.9.9"])
def test_a_server_on_this_machine_is_allowed(host: str) -> None:
    ServerClient(Settings(engine="http", http_url=f"http://{host}/v1")).close()


@pytest.mark.parametrize(
    "host",
    [
        "gpu-1:8000",
        "10.0.0.7",
        "localhost.example",
        "127.0.0.1.example",
        "[::ffff:10.0.0.1]",
        "0.0.0.0",
        "a\\b",
    ],
)
def test_a_server_on_another_machine_is_an_error_by_default(host: str) -> None:
    with pytest.raises(NotesWouldLeaveError, match="NOTEMILL_HTTP_MAY_LEAVE_MACHINE"):
        ServerClient(Settings(engine="http", http_url=f"http://{host}/v1"))


def test_a_server_on_another_machine_is_allowed_by_the_setting() -> None:
    allowed = {"http_url": "https://gpu-1/v1", "http_may_leave_machine": True}
    ServerClient(Settings(engine="http", **allowed)).close()
