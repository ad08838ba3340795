"""Peer: static batches of prompts of similar length through transformers' `generate`, padded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.comparison.workload import BenchmarkPrompt, GeneratedAnswer
from benchmarks.peers.transformers_model import TransformersModel
from benchmarks.peers.tuning import fastest_choice

SIZES = (4, 8, 16, 32)


class StaticBatches:
    """Tunes the batch size and the order: by length alone, or by token limit first."""

    name = "static"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.tuning: dict[str, Any] = {"batch": SIZES[1], "by": "length"}

    def prepare(self, sample: Sequence[BenchmarkPrompt]) -> None:
        self.load()
        self._loaded.generate(sample[:2])
        choices = [{"batch": size, "by": by} for size in SIZES for by in ("length", "limit")]
        self.tuning = fastest_choice(self, choices, sample)

    def load(self) -> None:
        """Loads the weights without tuning, for callers that measure no time."""
        self._loaded = TransformersModel.of(self._folder)

    def answer(self, prompts: Sequence[BenchmarkPrompt]) -> list[GeneratedAnswer]:
        order = sorted(range(len(prompts)), key=lambda index: self._key(prompts[index]))
        size = self.tuning["batch"]
        answers: dict[int, GeneratedAnswer] = {}
        for start in range(0, len(order), size):
            members = order[start : start + size]
            generated = self._loaded.generate([prompts[index] for index in members])
            answers |= zip(members, generated, strict=True)
        return [answers[index] for index in range(len(prompts))]

    def clear_caches(self) -> None:
        """Keeps nothing between rounds."""

    def close(self) -> None:
        del self._loaded

    def _key(self, prompt: BenchmarkPrompt) -> tuple[int, int]:
        length = len(prompt.prompt.document) + len(prompt.prompt.question)
        return (prompt.max_tokens if self.tuning["by"] == "limit" else 0, length)
