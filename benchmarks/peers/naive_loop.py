"""The naive loop: one prompt after another through transformers' `generate`, as a first version has it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.comparison.workload import Answer, Asked
from benchmarks.peers.transformers_model import Loaded


class Naive:
    """Every prompt is read whole and answered alone."""

    name = "naive"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.tuning: dict[str, Any] = {}

    def prepare(self, sample: Sequence[Asked]) -> None:
        self._loaded = Loaded.of(self._folder)
        self._loaded.write(sample[:1])

    def answer(self, asked: Sequence[Asked]) -> list[Answer]:
        return [answer for one in asked for answer in self._loaded.write([one])]

    def forget(self) -> None:
        """It keeps nothing between rounds."""

    def close(self) -> None:
        del self._loaded
