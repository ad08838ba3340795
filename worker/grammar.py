"""The matchers that enforce grammars while an answer is written, and their token masks.

Knows llguidance; what the grammars say is `worker.forms`'s.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
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

    def allowed(self, matchers: Sequence[Any]) -> npt.NDArray[np.bool_]:
        """Shape [matchers, vocabulary]: which token may come next."""
        bits = llguidance.numpy.allocate_token_bitmask(len(matchers), self._vocabulary_size)
        llguidance.numpy.fill_next_token_bitmask_par(
            self._executor, [(matcher, index) for index, matcher in enumerate(matchers)], bits
        )
        as_bytes = bits.view(np.uint8)
        unpacked = np.unpackbits(as_bytes, axis=1, bitorder="little", count=self._vocabulary_size)
        return unpacked.astype(np.bool_)
