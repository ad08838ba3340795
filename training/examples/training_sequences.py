"""What the loop trains on: a sequence of tokens with decisions in it, or with an answer in it, or both.

Decided answers compare a few words at some places; written ones predict every token of the answer. No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Right:
    """One choice: where it is made, and which words are right there."""

    places: list[int]
    """Indexes of tokens, after which a decision is made."""
    word_tokens: list[int]
    is_right: npt.NDArray[np.bool_]
    """Shape [places, words]; several right words share their probability."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One example, in tokens; places are indexes into `tokens`."""

    kind: str
    tokens: Sequence[int]
    shared_tokens: int = 0
    """How many of them at the beginning are the document's, the same for every question on it."""
    rights: tuple[Right, ...] = ()
    answers: tuple[int, ...] = ()
    """Indexes of the tokens of answers: each is predicted after the token before it."""
