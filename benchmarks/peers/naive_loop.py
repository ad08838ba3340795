"""The naive loop: one prompt after another through transformers' `generate`, as a first version has it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.comparison.workload import BenchmarkPrompt, GeneratedAnswer
from benchmarks.peers.transformers_model import TransformersModel


class NaiveLoop:
    """Every prompt is read whole and answered alone."""

    name = "naive"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.tuning: dict[str, Any] = {}

    def prepare(self, sample: Sequence[BenchmarkPrompt]) -> None:
        self._loaded = TransformersModel.of(self._folder)
        self._loaded.write(sample[:1])

    def answer(self, prompts: Sequence[BenchmarkPrompt]) -> list[GeneratedAnswer]:
        return [answer for prompt in prompts for answer in self._loaded.write([prompt])]

    def forget(self) -> None:
        """It keeps nothing between rounds."""

    def close(self) -> None:
        del self._loaded
