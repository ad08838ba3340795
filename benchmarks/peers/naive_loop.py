"""Peer: the naive loop, one prompt after another through transformers' `generate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.comparison.workload import BenchmarkPrompt, GeneratedAnswer
from benchmarks.peers.transformers_model import TransformersModel


class NaiveLoop:
    """Computes every prompt from its first token, without a batch."""

    name = "naive"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.tuning: dict[str, Any] = {}

    def prepare(self, sample: Sequence[BenchmarkPrompt]) -> None:
        self._loaded = TransformersModel.of(self._folder)
        self._loaded.generate(sample[:1])

    def answer(self, prompts: Sequence[BenchmarkPrompt]) -> list[GeneratedAnswer]:
        return [answer for prompt in prompts for answer in self._loaded.generate([prompt])]

    def clear_caches(self) -> None:
        """Keeps nothing between rounds."""

    def close(self) -> None:
        del self._loaded
