"""Static batches: prompts of like length together through transformers' `generate`, padded to the longest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.comparison.workload import BenchmarkPrompt, GeneratedAnswer
from benchmarks.peers.transformers_model import TransformersModel
from benchmarks.peers.tuning import fastest_choice

SIZES = (4, 8, 16, 32)


class StaticBatches:
    """Tries the sizes, and both orders: by length alone, and by the limit first."""

    name = "static"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.tuning: dict[str, Any] = {"batch": SIZES[1], "by": "length"}

    def prepare(self, sample: Sequence[BenchmarkPrompt]) -> None:
        self.load()
        self._loaded.write(sample[:2])
        choices = [{"batch": size, "by": by} for size in SIZES for by in ("length", "limit")]
        self.tuning = fastest_choice(self, choices, sample)

    def load(self) -> None:
        """The weights alone, for those who do not measure time."""
        self._loaded = TransformersModel.of(self._folder)

    def answer(self, prompts: Sequence[BenchmarkPrompt]) -> list[GeneratedAnswer]:
        order = sorted(range(len(prompts)), key=lambda index: self._key(prompts[index]))
        size, answers = self.tuning["batch"], {}
        for start in range(0, len(order), size):
            members = order[start : start + size]
            written = self._loaded.write([prompts[index] for index in members])
            answers |= zip(members, written, strict=True)
        return [answers[index] for index in range(len(prompts))]

    def forget(self) -> None:
        """It keeps nothing between rounds."""

    def close(self) -> None:
        del self._loaded

    def _key(self, prompt: BenchmarkPrompt) -> tuple[int, int]:
        length = len(prompt.prompt.document) + len(prompt.prompt.question)
        return (prompt.max_tokens if self.tuning["by"] == "limit" else 0, length)
