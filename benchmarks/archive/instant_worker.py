"""A worker whose engine answers at once, for `celery --app benchmarks.archive.instant_worker:app`.

Everything else is the real worker's: messages, claims, windows, grounding, rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.settings import Settings, load_settings
from worker.app import make_app
from worker.engine.api import (
    Choice,
    CompareRequest,
    CompareResult,
    Reply,
    Request,
    RequestError,
    ScoreRequest,
    ScoreResult,
    Scores,
)
from worker.telemetry.usage_meter import UsageMeter

_SENTENCES_PER_PASSAGE = 8
"""One sentence in eight answers: a note of 100 words gets one or two passages, as from the real network."""


class InstantEngine:
    """Engine without a network: chooses by position and refuses to generate text."""

    context_tokens = 32_768

    def count_tokens(self, text: str) -> int:
        return len(text) // 4 + 1

    def answer(self, requests: Sequence[Request], *, is_urgent: bool = False) -> list[Reply]:  # noqa: ARG002
        return [_reply(request) for request in requests]

    def close(self) -> None:
        """Has nothing to close."""


_REFUSAL = RequestError("unparsable", "this engine generates no text")


def _reply(request: Request) -> Reply:
    if isinstance(request, CompareRequest):
        return CompareResult((0.0,) * len(request.texts))
    return _decided(request) if isinstance(request, ScoreRequest) else _REFUSAL


def _decided(request: ScoreRequest) -> ScoreResult:
    scores = tuple(_scores(choice, request.copy) for choice in request.choices)
    return ScoreResult(scores, prompt_tokens=len(request.copy) // 4 + 1)


def _scores(choice: Choice, copy: str) -> Scores:
    ends = choice.ends if choice.ends is not None else tuple(range(1, len(copy) + 1))
    shares = np.full((len(ends), len(choice.words)), 0.01, np.float32)
    shares[:, -1] = 1.0
    shares[::_SENTENCES_PER_PASSAGE, 0] = 9.0
    return Scores(
        spans=tuple((max(0, end - 1), end) for end in ends),
        log_probabilities=np.log(shares / shares.sum(axis=1, keepdims=True)),
    )


def _load(_settings: Settings, _meter: UsageMeter | None) -> InstantEngine:
    return InstantEngine()


app = make_app(load_settings(), load_engine=_load)
