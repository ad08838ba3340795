"""Ours, as a worker runs it: a thread a note, many notes in hand, one engine between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.work import Answer, Asked
from models.settings import Settings
from worker.engine import Written
from worker.transformers_engine import load


class Ours:
    """Through the public Engine.answer; nothing is tuned here, a worker calibrates itself."""

    name = "ours"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.tuning: dict[str, Any] = {"threads_with_a_note_each": settings.worker_threads}

    def prepare(self, sample: Sequence[Asked]) -> None:
        self.engine = load(self._settings)
        self.answer(sample[:2])

    def answer(self, asked: Sequence[Asked]) -> list[Answer]:
        notes: dict[int, list[int]] = defaultdict(list)
        for index, one in enumerate(asked):
            notes[one.note].append(index)
        with ThreadPoolExecutor(self._settings.worker_threads) as pool:
            replies = pool.map(lambda own: self.engine.answer([asked[i].request for i in own]), notes.values())
            together = zip(notes.values(), replies, strict=True)
            found = {index: reply for own, some in together for index, reply in zip(own, some, strict=True)}
        return [_answer(found[index]) for index in range(len(asked))]

    def close(self) -> None:
        self.engine.close()


def _answer(reply: Any) -> Answer:
    if not isinstance(reply, Written):
        raise RuntimeError(f"ours refused: {reply}")
    return Answer(reply.text, reply.completion_tokens)
