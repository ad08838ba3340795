"""`notemill view` at the command line: refusals, TLS, private files, and errors that say what to type."""

from __future__ import annotations

import socket
import ssl
import stat
import subprocess
import sys
from http.client import HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import trustme
from view_notes import fill

from console.inspect.view import view
from models.errors import NotemillError, UsageError
from models.migrations import schema_version
from models.schema.database import connect
from models.store.store import Store

if TYPE_CHECKING:
    from commands import Notemill

pytest_plugins = ("commands",)
ROOT = Path(__file__).parents[2]
USUAL = {"port": 0, "certificate": None, "key": None, "is_plain": False, "name": None}


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "hospital.example", "::"])
def test_notes_never_cross_a_network_unencrypted(host: str) -> None:
    with pytest.raises(UsageError, match="unencrypted: add --certificate"):
        view(host=host, **USUAL)  # type: ignore[arg-type]


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="go together"):
        view(host="127.0.0.1", **USUAL | {"certificate": tmp_path / "c.pem"})  # type: ignore[arg-type]


def test_a_port_in_use_is_an_error_that_says_what_to_type() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(NotemillError, match=rf"port {port}: .*view --port"):
            view(host="127.0.0.1", **USUAL | {"port": port})  # type: ignore[arg-type]


def test_with_a_certificate_it_serves_tls_and_sets_a_secure_cookie(tmp_path: Path) -> None:
    authority = trustme.CA()
    made = authority.issue_cert("127.0.0.1")
    made.cert_chain_pems[0].write_to_path(str(tmp_path / "c.pem"))
    made.private_key_pem.write_to_path(str(tmp_path / "k.pem"))
    files = ["--certificate", str(tmp_path / "c.pem"), "--key", str(tmp_path / "k.pem")]
    command = [sys.executable, "-m", "notemill", "view", "--port", "0", *files]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[1]
        status, cookie = _cookie(address, authority)
        process.terminate()
    assert address.startswith("https://127.0.0.1:")
    assert (status, "; Secure" in cookie) == (303, True)
    assert process.returncode in (0, 143)


def _cookie(address: str, authority: trustme.CA) -> tuple[int, str]:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    parts = urlsplit(address)
    connection = HTTPSConnection(parts.netloc, context=context)
    connection.request("GET", f"{parts.path}?{parts.query}")
    response = connection.getresponse()
    return response.status, response.getheader("Set-Cookie") or ""


def test_show_html_writes_a_private_file_of_an_existing_note(notemill: Notemill) -> None:
    engine = connect(f"sqlite:///{notemill.home / 'notemill.db'}")
    schema_version.upgrade(engine)
    fill(Store(engine))
    page = notemill.home / "page.html"
    assert notemill("show", "ward", "--html", page) == 0
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert "in the left arm" in page.read_text("utf-8")
    assert notemill("show", "nobody", "--html", page) == 1
    assert notemill("corrections") == 0
    assert (notemill.out, "Nothing was corrected yet" in notemill.err) == ("", True)
