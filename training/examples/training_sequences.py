"""Training sequences: tokens with decisions, with an answer, or both.

Decisions compare a few label words at some positions; written answers predict every token. Does not import
torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class ChoiceTarget:
    """One choice: its positions, and the right words at each."""

    places: list[int]
    """Indexes of tokens after which a decision is made."""
    word_tokens: list[int]
    is_right: npt.NDArray[np.bool_]
    """Shape [positions, words]; several right words share their probability."""


@dataclass(frozen=True, slots=True)
class TrainingSequence:
    """One example in tokens; positions are indexes into `tokens`."""

    kind: str
    tokens: Sequence[int]
    shared_tokens: int = 0
    """Number of leading tokens that belong to the document, the same for every question on it."""
    rights: tuple[ChoiceTarget, ...] = ()
    answers: tuple[int, ...] = ()
    """Indexes of answer tokens: each is predicted after the token before it."""
