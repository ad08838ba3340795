"""How far two engines' answers are the same, and whether where they part is more than rounding.

Where greedy answers part, both next tokens are looked at once more in float32: when their logits there lie
nearer together than bf16 gets logits wrong at that place, either choice is bf16's, and the rest follows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.work import Answer, Asked

LEADERS = 50
"""Over how many of the most likely tokens bf16's error is measured."""

IsRounding = Callable[[Asked, str, str], bool]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Shares, 0 to 1. A job is one task on one note: it agrees when all of its answers do."""

    requests: float
    jobs: float
    jobs_but_rounding: float
    """Answers that part where rounding decides count as the same."""


def agreement(
    asked: Sequence[Asked], ours: Sequence[Answer], reference: Sequence[Answer], is_rounding: IsRounding
) -> Agreement:
    """Compares texts; `is_rounding` is asked only of those that differ."""
    same = [one.text == other.text for one, other in zip(ours, reference, strict=True)]
    near = [
        equal or is_rounding(one, answer.text, other.text)
        for equal, one, answer, other in zip(same, asked, ours, reference, strict=True)
    ]
    return Agreement(sum(same) / len(same), _of_jobs(asked, same), _of_jobs(asked, near))


class Rounding:
    """The question `is_rounding`, answered by the network in both precisions."""

    def __init__(self, network: Any, chat: Any) -> None:
        """`network`: in bf16; a float32 copy is made of it (four bytes a weight)."""
        import copy

        self._network = network
        self._exact = copy.deepcopy(network).float()
        self._chat = chat

    def __call__(self, asked: Asked, text: str, other: str) -> bool:
        tokens, others = self._chat.plain(text), self._chat.plain(other)
        place = next(
            (i for i, (one, two) in enumerate(zip(tokens, others, strict=False)) if one != two),
            min(len(tokens), len(others)),
        )
        end = self._chat.tokenizer.eos_token_id
        first, second = ((some[place] if place < len(some) else end) for some in (tokens, others))
        prompt = self._chat.encode(asked.prompt).tokens + tokens[:place]
        with torch.inference_mode():
            ids = torch.tensor([prompt])
            rounded = self._network(ids, logits_to_keep=1).logits[0, -1].float()
            exact = self._exact(ids, logits_to_keep=1).logits[0, -1]
        leaders = exact.topk(min(LEADERS, len(exact))).indices
        error = float((rounded - exact)[leaders].abs().max())
        return float((exact[first] - exact[second]).abs()) <= 2 * error


def _of_jobs(asked: Sequence[Asked], same: Sequence[bool]) -> float:
    jobs: dict[tuple[int, str], bool] = defaultdict(lambda: True)
    for one, equal in zip(asked, same, strict=True):
        jobs[one.note, one.job] &= equal
    return sum(jobs.values()) / len(jobs)
