"""An engine that answers at random, with or without regard to the requested output format."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from models.outcomes import Reason
from worker.engine.api import (
    Choice,
    CompareRequest,
    CompareResult,
    GenerateRequest,
    GenerateResult,
    Reply,
    Request,
    RequestError,
    ScoreRequest,
    ScoreResult,
    Scores,
)

TEXT_FRAGMENTS = (
    *(
        "Pain",
        "no fever",
        "aspirin 81 mg",
        "[INST]",
        "</s>",
        "<|im_start|>",
        "\x00",
        "\x1b[31m",
        "=1+1",
        "😀",
    ),
    *(
        "\n\n",
        "\r\n",
        "PLAN:",
        ". ",
        " ",
        "; ",
        "none",
        "\ufeff",
        "\u2028",
        "é",
        "患者",
        "1.5.2024",
        "\ud7ff",
    ),
)
_SCORES = (0.0, -1e30, float("-inf"), float("nan"), float("inf"))


class RandomEngine:
    """Answers depend only on the seed; `words` appear in them more often than other text."""

    context_tokens = 4_000

    def __init__(self, seed: int, words: Sequence[str]) -> None:
        self._draw, self._words = random.Random(seed), words

    def count_tokens(self, text: str) -> int:
        return len(text.encode("utf-8", "surrogatepass")) // 3 + 1

    def answer(self, requests: Sequence[Request], *, is_urgent: bool = False) -> list[Reply]:  # noqa: ARG002
        return [self._reply(request) for request in requests]

    def close(self) -> None:
        """Has nothing to close."""

    def _reply(self, request: Request) -> Reply:
        if self._draw.random() < 0.03:
            return RequestError(self._draw.choice(list(Reason)), "any")
        if isinstance(request, CompareRequest):
            return CompareResult(tuple(self._draw.uniform(-1, 1) for _ in request.texts))
        return (
            self._score_result(request)
            if isinstance(request, ScoreRequest)
            else self._generate_result(request)
        )

    def _score_result(self, request: ScoreRequest) -> ScoreResult:
        scores = tuple(self._scores(choice, request.copy) for choice in request.choices)
        return ScoreResult(scores, prompt_tokens=1)

    def _scores(self, choice: Choice, copy: str) -> Scores:
        ends = choice.ends if choice.ends is not None else tuple(range(1, len(copy) + 1))
        scores = np.array([[self._score() for _ in choice.words] for _ in ends], np.float32)
        starts = [max(0, end - self._draw.randint(0, 4)) for end in ends]
        return Scores(tuple(zip(starts, ends, strict=True)), scores.reshape(len(ends), len(choice.words)))

    def _score(self) -> float:
        kinds = (-self._draw.random() * 20, *_SCORES)
        return self._draw.choices(kinds, (50, 10, 2, 1, 0.05, 0.05))[0]

    def _generate_result(self, request: GenerateRequest) -> GenerateResult:
        drawn = [
            self._draw.choice([*self._words, *TEXT_FRAGMENTS, request.prompt.document]) for _ in range(5)
        ]
        text = self._draw.choice(["; ".join(drawn), " ".join(drawn), "", "none", "None.", drawn[0] * 50])
        return GenerateResult(text, self._draw.random() < 0.8, 1, 1)
