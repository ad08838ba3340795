"""`notemill view` for tests: a real process over a store with the notes of tests/support/view_notes.py.

In a test module: `pytest_plugins = ("view_server",)`, then ask for `view`; a module shares one server.
"""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from view_notes import TOKEN, fill
from workshop import ROOT

from models.migrations import schema_version
from models.queries.queries import Queries
from models.schema.database import connect
from models.store.store import Store


@dataclass(frozen=True)
class View:
    """A served store. Document 1 is WARD, 2 attacks, 3 has failed, 4 waits."""

    store: Store
    queries: Queries
    home: Path
    address: str

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
        """Status, headers and body, with the cookie unless another is given."""
        return self._ask(urllib.request.Request(self.address + path), headers)

    def post(self, path: str, fields: dict[str, Any], **headers: str) -> tuple[int, dict[str, str], str]:
        """Posts a form with the page's own Origin, unless another is given."""
        body = urllib.parse.urlencode(fields).encode()
        return self._ask(
            urllib.request.Request(self.address + path, body), {"Origin": self.address} | headers
        )

    def _ask(
        self, request: urllib.request.Request, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], str]:
        cookie = f"notemill_{urllib.parse.urlsplit(self.address).port}={TOKEN}"
        for name, value in ({"Cookie": cookie} | headers).items():
            request.add_header(name, value)
        try:
            with urllib.request.build_opener(_Staying).open(request) as response:
                return response.status, _titled(response.headers), response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, _titled(error.headers), error.read().decode()


def _titled(headers: Any) -> dict[str, str]:
    return {name.title(): value for name, value in headers.items()}


class _Staying(urllib.request.HTTPRedirectHandler):
    """Does not follow redirects, because the tests check them."""

    def redirect_request(self, *_: Any) -> None:
        return None


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> Iterator[View]:
    home = tmp_path_factory.mktemp("view")
    engine = connect(f"sqlite:///{home / 'notemill.db'}")
    schema_version.upgrade(engine)
    fill(Store(engine))
    environment = os.environ | {"NOTEMILL_HOME": str(home), "NOTEMILL_VIEW_TOKEN": TOKEN}
    command = [sys.executable, "-m", "notemill", "view", "--port", "0", "--name", "ada"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[1].partition("/?")[0]
        yield View(Store(engine), Queries(engine), home, address)
        process.terminate()
    engine.dispose()
