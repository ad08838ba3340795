"""The matchers that enforce grammars while an answer is written, and their token masks.

Knows llguidance; what the grammars say is `worker.forms`'s.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import llguidance
import llguidance.hf
import llguidance.numpy
import numpy as np
import numpy.typing as npt

_KEPT = 256
"""Compiled grammars that are kept: of the windows of the documents in hand."""


class Grammars:
    """Makes matchers for one tokenizer, and fills their token masks side by side."""

    def __init__(self, tokenizer: Any, vocabulary_size: int) -> None:
        """`tokenizer`: a fast Hugging Face tokenizer; `vocabulary_size`: columns of the logits."""
        self._tokens = llguidance.hf.from_tokenizer(tokenizer, n_vocab=vocabulary_size)
        self._executor = llguidance.LLExecutor()
        self._vocabulary_size = vocabulary_size
        self._compiled: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def matcher(self, grammar: str) -> Any:
        """A matcher at the grammar's beginning. Raises ValueError where the grammar is not valid.

        Each grammar is compiled once and copied: 4 ms against 0.03 ms for a list of a long window.
        """
        with self._lock:
            compiled = self._compiled.pop(grammar, None) or self._compile(grammar)
            self._compiled[grammar] = compiled
            if len(self._compiled) > _KEPT:
                self._compiled.popitem(last=False)
            return compiled.deep_copy()

    def _compile(self, grammar: str) -> Any:
        matcher = llguidance.LLMatcher(
            self._tokens, llguidance.LLMatcher.grammar_from_lark(grammar), log_level=0
        )
        if matcher.is_error():
            raise ValueError("the grammar does not compile")  # its text would quote the note
        return matcher

    def allowed(self, asked: Sequence[tuple[Any, Sequence[int]]]) -> list[list[Allowed]]:
        """For each matcher what may come next, and what after each of the guesses that follow it.

        Computed for all of them in parallel, without Python's lock: while the network is computing.
        """
        starts = np.cumsum([0, *(1 + len(guesses) for _, guesses in asked)])
        bits = llguidance.numpy.allocate_token_bitmask(int(starts[-1]), self._vocabulary_size)
        placed = [(matcher, int(start), list(g)) for (matcher, g), start in zip(asked, starts, strict=False)]
        # llguidance takes guesses for all matchers of a call or for none.
        if guessing := [one for one in placed if one[2]]:
            llguidance.numpy.fill_next_token_bitmask_par_with_draft_tokens(self._executor, guessing, bits)
        if sure := [one[:2] for one in placed if not one[2]]:
            llguidance.numpy.fill_next_token_bitmask_par(self._executor, sure, bits)
        return [
            [Allowed(row, self._vocabulary_size) for row in bits[start:stop]]
            for start, stop in pairwise(starts)
        ]


class Allowed:
    """The tokens that may come at one place, a bit a token."""

    __slots__ = ("_bits", "_size")

    def __init__(self, bits: npt.NDArray[np.int32], size: int) -> None:
        self._bits = bits.view(np.uint8)
        self._size = size

    def has(self, token: int) -> bool:
        return bool(self._bits[token >> 3] >> (token & 7) & 1)

    @property
    def tokens(self) -> npt.NDArray[np.intp]:
        """All of them, in order."""
        return np.flatnonzero(np.unpackbits(self._bits, bitorder="little", count=self._size))
