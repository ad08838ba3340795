"""Agreement of two engines' answers, and whether a difference is only bf16 rounding.

When greedy answers diverge, the logits of both next tokens are computed in float32. If they differ by less
than twice bf16's error at that position, rounding may choose either token, and the rest of the answer follows
from it. Positions are those of the reference's tokens: the same text can be tokenized in several ways.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.comparison.workload import BenchmarkPrompt, GeneratedAnswer

LEADERS = 50
"""bf16's error is measured over this many of the most likely tokens."""

IsRoundingDifference = Callable[[BenchmarkPrompt, GeneratedAnswer, GeneratedAnswer], bool]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Shares, 0 to 1. A job is one task on one note, and agrees when all of its answers do."""

    requests: float
    jobs: float
    jobs_but_rounding: float
    """Answers that diverge only by rounding count as equal."""


def measure_agreement(
    prompts: Sequence[BenchmarkPrompt],
    ours: Sequence[GeneratedAnswer],
    reference: Sequence[GeneratedAnswer],
    is_rounding: IsRoundingDifference,
) -> Agreement:
    """Compares texts. `is_rounding` is called only for those that differ."""
    equal = [answer.text == expected.text for answer, expected in zip(ours, reference, strict=True)]
    equal_but_rounding = [
        is_equal or is_rounding(prompt, answer, expected)
        for is_equal, prompt, answer, expected in zip(equal, prompts, ours, reference, strict=True)
    ]
    return Agreement(
        sum(equal) / len(equal), _job_share(prompts, equal), _job_share(prompts, equal_but_rounding)
    )


class RoundingCheck:
    """Tells whether two answers differ only by rounding, with the network in both precisions."""

    def __init__(self, network: Any, chat: Any) -> None:
        """`network`: in bf16. Makes a float32 copy of it (four bytes a weight)."""
        import copy

        self._network = network
        self._exact = copy.deepcopy(network).float()
        self._chat = chat
        self._token_of = {chat.decode([token]): token for token in range(network.config.vocab_size)}

    def __call__(self, prompt: BenchmarkPrompt, answer: GeneratedAnswer, reference: GeneratedAnswer) -> bool:
        """True if rounding at one of the reference's tokens explains why the answer diverges there.

        Needs `reference.tokens`. The answer's token is taken to be the most likely one that its text
        continues with.
        """
        end = self._chat.tokenizer.eos_token_id
        prompt_tokens, generated = self._chat.encode(prompt.prompt).tokens, [*reference.tokens, end]
        ids = torch.tensor([[*prompt_tokens, *generated[:-1]]])
        with torch.inference_mode():
            rounded = self._network(ids, logits_to_keep=len(generated)).logits[0].float()
            exact = self._exact(ids, logits_to_keep=len(generated)).logits[0]
        for position, token in enumerate(generated):
            before = self._chat.decode(generated[:position])
            if not answer.text.startswith(before):
                return False
            others = self._first_tokens(answer.text[len(before) :], end) - {token}
            if not others:
                continue
            leaders = exact[position].topk(min(LEADERS, exact.shape[1])).indices
            error = float((rounded[position] - exact[position])[leaders].abs().max())
            if float((exact[position, token] - exact[position, list(others)].max()).abs()) <= 2 * error:
                return True
        return False

    def _first_tokens(self, text: str, end: int) -> set[int]:
        """The tokens that a text may start with; the end token when it is empty."""
        if not text:
            return {end}
        starts = (text[:length] for length in range(1, len(text) + 1))
        return {self._token_of[start] for start in starts if start in self._token_of}


def _job_share(prompts: Sequence[BenchmarkPrompt], equal: Sequence[bool]) -> float:
    jobs: dict[tuple[int, str], bool] = defaultdict(lambda: True)
    for prompt, is_equal in zip(prompts, equal, strict=True):
        jobs[prompt.note, prompt.job] &= is_equal
    return sum(jobs.values()) / len(jobs)
