"""How far two engines' answers are the same, and whether where they part is more than rounding.

Where greedy answers part, both next tokens are looked at once more in float32: when their logits there lie
nearer together than bf16 gets logits wrong at that place, either choice is bf16's, and the rest follows.
Places are those of the reference's own tokens: a text spelled anew can hide the one where they parted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.comparison.workload import BenchmarkPrompt, GeneratedAnswer

LEADERS = 50
"""Over how many of the most likely tokens bf16's error is measured."""

IsRoundingDifference = Callable[[BenchmarkPrompt, GeneratedAnswer, GeneratedAnswer], bool]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Shares, 0 to 1. A job is one task on one note: it agrees when all of its answers do."""

    requests: float
    jobs: float
    jobs_but_rounding: float
    """Answers that part where rounding decides count as the same."""


def measure_agreement(
    prompts: Sequence[BenchmarkPrompt],
    ours: Sequence[GeneratedAnswer],
    reference: Sequence[GeneratedAnswer],
    is_rounding: IsRoundingDifference,
) -> Agreement:
    """Compares texts; `is_rounding` is asked only of those that differ."""
    same = [one.text == other.text for one, other in zip(ours, reference, strict=True)]
    near = [
        equal or is_rounding(one, answer, other)
        for equal, one, answer, other in zip(same, prompts, ours, reference, strict=True)
    ]
    return Agreement(sum(same) / len(same), _of_jobs(prompts, same), _of_jobs(prompts, near))


class RoundingCheck:
    """The question `is_rounding`, answered by the network in both precisions."""

    def __init__(self, network: Any, chat: Any) -> None:
        """`network`: in bf16; a float32 copy is made of it (four bytes a weight)."""
        import copy

        self._network = network
        self._exact = copy.deepcopy(network).float()
        self._chat = chat
        self._token_of = {chat.decode([token]): token for token in range(network.config.vocab_size)}

    def __call__(self, prompts: BenchmarkPrompt, answer: GeneratedAnswer, reference: GeneratedAnswer) -> bool:
        """Whether at one of the reference's tokens the answer may have taken its own way by rounding.

        `reference.tokens` are needed. The answer's own token is the likeliest that its text goes on with.
        """
        end = self._chat.tokenizer.eos_token_id
        prompt, written = self._chat.encode(prompts.prompt).tokens, [*reference.tokens, end]
        ids = torch.tensor([[*prompt, *written[:-1]]])
        with torch.inference_mode():
            rounded = self._network(ids, logits_to_keep=len(written)).logits[0].float()
            exact = self._exact(ids, logits_to_keep=len(written)).logits[0]
        for place, token in enumerate(written):
            before = self._chat.decode(written[:place])
            if not answer.text.startswith(before):
                return False
            others = self._beginning(answer.text[len(before) :], end) - {token}
            if not others:
                continue
            leaders = exact[place].topk(min(LEADERS, exact.shape[1])).indices
            error = float((rounded[place] - exact[place])[leaders].abs().max())
            if float((exact[place, token] - exact[place, list(others)].max()).abs()) <= 2 * error:
                return True
        return False

    def _beginning(self, text: str, end: int) -> set[int]:
        """The tokens that a text may begin with; the end token for none."""
        if not text:
            return {end}
        starts = (text[:length] for length in range(1, len(text) + 1))
        return {self._token_of[start] for start in starts if start in self._token_of}


def _of_jobs(prompts: Sequence[BenchmarkPrompt], same: Sequence[bool]) -> float:
    jobs: dict[tuple[int, str], bool] = defaultdict(lambda: True)
    for one, equal in zip(prompts, same, strict=True):
        jobs[one.note, one.job] &= equal
    return sum(jobs.values()) / len(jobs)
