"""From an example to token ids and, for each decision, the set of words that would be right. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.examples import Example
from worker.chat import Chat
from worker.decisions import MarkedLabel


@dataclass(frozen=True, slots=True)
class Target:
    """One training sequence."""

    tokens: list[int]
    places: list[int]
    """Indexes in `tokens` after which a decision is made."""
    word_tokens: list[int]
    is_right: npt.NDArray[np.bool_]
    """Shape [places, words]; several right words share their probability."""


def target_of(example: Example, chat: Chat, labels: Sequence[MarkedLabel]) -> Target:
    """The sequence as the engine builds it: prompt, then the copy, decisions after its tokens."""
    request = example.request
    prompt = chat.encode(request.prompt).tokens
    copied, offsets = chat.plain_with_offsets(request.copy)
    words = [chat.plain(word)[0] for word in request.choices[0].words]
    if request.choices[0].ends is None:
        right = _right_marks(example, offsets, labels)
        places = list(range(len(copied)))
    else:
        right = np.array([[relevant, not relevant] for relevant in example.is_relevant], dtype=np.bool_)
        places = [_reaching(end, offsets) for end in request.choices[0].ends]
    return Target(prompt + copied, [len(prompt) + place for place in places], words, right)


def _right_marks(
    example: Example, offsets: list[tuple[int, int]], labels: Sequence[MarkedLabel]
) -> npt.NDArray[np.bool_]:
    nothing = np.zeros(1 + 2 * len(labels), dtype=np.bool_)
    nothing[0] = True
    for place, label in enumerate(labels):
        if label.name in example.unknown:
            nothing[1 + 2 * place : 3 + 2 * place] = True
    right = np.tile(nothing, (len(offsets), 1))
    column = {label.name: 1 + 2 * place for place, label in enumerate(labels)}
    for start, end, name in example.spans:
        covered = [
            i for i, (first, last) in enumerate(offsets) if first < end and last > start and last > first
        ]
        for i in covered:
            right[i] = False
            right[i, column[name] + (i != covered[0])] = True
    return right


def _reaching(end: int, offsets: list[tuple[int, int]]) -> int:
    return next((i for i, (_, last) in enumerate(offsets) if last >= end), len(offsets) - 1)
