"""Peer: llama.cpp's server with parallel slots and prompt cache, called over HTTP by one thread a slot.

The wheel includes llguidance, so the grammar is the same Lark text as for all engines (`%llguidance`).
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from benchmarks.comparison.workload import BenchmarkPrompt, GeneratedAnswer
from benchmarks.peers.tuning import fastest_choice
from training.finetune.gguf_files import write_gguf
from worker.engine.prompting.chat_template import Chat

START = {
    "file": "f32",
    "slots": 8,
    "ubatch": 512,
    "flash": -1,
    "unified": True,
    "reuse": 0,
    "threads": 2,
    "order": "by_document",
}
SAME_VALUES = ("f32", "f16", "bf16")
"""File types that keep the bf16 values; which is fastest depends on llama.cpp's build."""
FEWER_BITS = ("q8_0", "q4_0")
OPTIONS_TO_TUNE: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("order", ("all_at_once",)),
    ("slots", (4, 16, 32)),
    ("unified", (False,)),
    ("ubatch", (256, 2_048)),
    ("flash", (0, 1)),
    ("reuse", (64,)),
    ("threads", (1,)),
)
"""Tuned one after another, each from the best options so far."""


class LlamaCppServer:
    """Tunes the file type first, then the options that its users would set."""

    name = "llama.cpp"

    def __init__(
        self,
        folder: Path,
        scratch: Path,
        *,
        files: Sequence[str],
        threads: int,
        start: dict[str, Any] | None = None,
    ) -> None:
        """`start`: options tuned before; then only the file types are tried."""
        self._folder = folder
        self._scratch = scratch
        self._files = files
        self._options_to_tune = OPTIONS_TO_TUNE if start is None else ()
        self._server: subprocess.Popen[str] | None = None
        self._started: dict[str, Any] = {}
        self.tuning: dict[str, Any] = _server_options(start or START | {"threads": threads}) | {
            "file": files[0]
        }

    def prepare(self, sample: Sequence[BenchmarkPrompt]) -> None:
        self._chat = Chat(AutoTokenizer.from_pretrained(self._folder))
        self.answer(sample[:1])
        best = fastest_choice(
            _RestartedServer(self), [self.tuning | {"file": file} for file in self._files], sample
        )
        tried = best["tried"]
        for key, values in self._options_to_tune:
            choices = [_server_options(best) | {key: value} for value in values]
            tried += fastest_choice(_RestartedServer(self), choices, sample)["tried"]
            best = max(tried, key=lambda choice: choice.get("requests_per_second", 0.0))
        self.tuning = _server_options(best) | {"tried": tried}
        self.answer(sample[:1])

    def answer(self, prompts: Sequence[BenchmarkPrompt]) -> list[GeneratedAnswer]:
        self._start(_server_options(self.tuning))
        groups: dict[Any, list[int]] = defaultdict(list)
        for index, prompt in enumerate(prompts):
            key = prompt.prompt.document if self.tuning["order"] == "by_document" else index
            groups[key].append(index)
        # Prompts with the same document run in sequence, so that a slot finds their prefix in its cache.
        with ThreadPoolExecutor(self.tuning["slots"]) as pool:
            answered = pool.map(lambda group: [self._complete(prompts[i]) for i in group], groups.values())
            answers = {
                index: answer
                for group, of_group in zip(groups.values(), answered, strict=True)
                for index, answer in zip(group, of_group, strict=True)
            }
        return [answers[index] for index in range(len(prompts))]

    def clear_caches(self) -> None:
        """Restarts the server: its slots keep whole prompts, which would make the next round faster."""
        self.close()
        self._start(_server_options(self.tuning))

    def close(self) -> None:
        if self._server is not None:
            self._server.communicate()  # also closes its standard input
            self._server = None

    def _start(self, options: dict[str, Any]) -> None:
        server_options = {key: value for key, value in options.items() if key != "order"}
        if self._server is not None and server_options == self._started:
            return
        self.close()
        file = self._scratch / f"{self._folder.name}-{options['file']}.gguf"
        if not file.exists():
            write_gguf(self._folder, file, options["file"])
        command = [
            sys.executable,
            "-m",
            "benchmarks.peers.llama_process",
            str(file),
            json.dumps(server_options),
        ]
        self._server = subprocess.Popen(  # noqa: S603  our own command
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._server.stdout is not None
        self._address = self._server.stdout.readline().strip().removeprefix("http://")
        if not self._address:
            raise RuntimeError("the llama.cpp server did not start; is xllamacpp installed?")
        self._started = server_options

    def _complete(self, prompt: BenchmarkPrompt) -> GeneratedAnswer:
        body = {
            "prompt": self._chat.encode(prompt.prompt).tokens,
            "n_predict": prompt.max_tokens,
            "grammar": "%llguidance {}\n" + prompt.lark,
            "temperature": 0.0,
            "cache_prompt": True,
        }
        connection = http.client.HTTPConnection(self._address, timeout=3_600)
        connection.request("POST", "/completion", json.dumps(body), {"Content-Type": "application/json"})
        reply = json.loads(connection.getresponse().read())
        connection.close()
        if "content" not in reply:
            raise RuntimeError(str(reply)[:200])
        return GeneratedAnswer(reply["content"], reply["tokens_predicted"])


class _RestartedServer:
    """The same server, restarted for each choice before the time counts.

    It restarts even when only the order of prompts differs, because cached prompts would favour the later
    choice.
    """

    def __init__(self, server: LlamaCppServer) -> None:
        self._server = server
        self.name = server.name

    @property
    def tuning(self) -> dict[str, Any]:
        return self._server.tuning

    @tuning.setter
    def tuning(self, choice: dict[str, Any]) -> None:
        self._server.tuning = choice
        self._server.clear_caches()

    def answer(self, prompts: Sequence[BenchmarkPrompt]) -> list[GeneratedAnswer]:
        return self._server.answer(prompts)


def _server_options(tuning: dict[str, Any]) -> dict[str, Any]:
    return {key: tuning[key] for key in START}
