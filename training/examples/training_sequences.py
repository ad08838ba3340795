"""Training sequences: tokens with decisions, with a generated answer, or both.

A decision compares a few label words at a position; an answer predicts each of its tokens. Does not import
torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class ChoiceTarget:
    """The targets of one choice: its positions, and the right words at each."""

    positions: list[int]
    """Indexes of the tokens after which a decision is made."""
    word_tokens: list[int]
    is_right: npt.NDArray[np.bool_]
    """Shape [positions, words]; several right words share their probability."""


@dataclass(frozen=True, slots=True)
class TrainingSequence:
    """One example in tokens; its positions index `tokens`."""

    kind: str
    tokens: Sequence[int]
    shared_tokens: int = 0
    """Number of leading tokens of the document, which are the same for every question on it."""
    choice_targets: tuple[ChoiceTarget, ...] = ()
    answers: tuple[int, ...] = ()
    """Indexes of the answer's tokens; each is predicted from the token before it."""
