"""The matchers that enforce grammars while an answer is written, and what they let come next.

Knows llguidance; what the grammars say is `worker.engine.output_formats`'s.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import llguidance
import llguidance.hf
import llguidance.numpy
import numpy as np
import numpy.typing as npt

_KEPT = 256
"""Compiled grammars that are kept: of the windows of the documents in hand."""
_LEADERS = 8
"""Tokens that are asked for one by one before all are."""
_LIMITS = llguidance.LLParserLimits(step_lexer_fuel=5_000_000)
"""25 times the default: it is filled up by a mask, and dozens of tokens may pass without one."""


class GrammarCompiler:
    """Makes matchers for one tokenizer, and chooses by them."""

    def __init__(self, tokenizer: Any, vocabulary_size: int) -> None:
        """`tokenizer`: a fast Hugging Face tokenizer; `vocabulary_size`: columns of the logits."""
        self._tokens = llguidance.hf.from_tokenizer(tokenizer, n_vocab=vocabulary_size)
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
            self._tokens, llguidance.LLMatcher.grammar_from_lark(grammar), log_level=0, limits=_LIMITS
        )
        if matcher.is_error():
            raise ValueError("the grammar does not compile")  # its text would quote the note
        return matcher

    def likeliest(self, matcher: Any, logits: npt.NDArray[np.float32]) -> int | None:
        """The token of the largest logit that may come next; None where nothing may.

        logits: [vocabulary]. Asking for one token takes 3 microseconds, the mask of all of them milliseconds:
        six of seven times the likeliest may come, and often one of the next where it may not.
        """
        for token in _leading(logits):
            if matcher.validate_tokens([token]):
                return token
        tokens = self._allowed(matcher)
        # Where no token may come, llguidance is in an error and its mask has the end token alone.
        if matcher.is_error() or not len(tokens):
            return None
        return int(tokens[logits[tokens].argmax()])

    def _allowed(self, matcher: Any) -> npt.NDArray[np.intp]:
        """All tokens that may come next, in order."""
        bits = llguidance.numpy.allocate_token_bitmask(1, self._vocabulary_size)
        llguidance.numpy.fill_next_token_bitmask(matcher, bits)
        flags = np.unpackbits(bits.view(np.uint8), bitorder="little", count=self._vocabulary_size)
        return np.flatnonzero(flags)


def _leading(logits: npt.NDArray[np.float32]) -> Iterator[int]:
    """The tokens of the largest logits, largest first, of equal ones the first."""
    yield int(logits.argmax())
    least = np.partition(logits, -_LEADERS)[-_LEADERS] if len(logits) > _LEADERS else -np.inf
    (above,) = np.nonzero(logits > least)
    yield from above[np.argsort(-logits[above], kind="stable")].tolist()
