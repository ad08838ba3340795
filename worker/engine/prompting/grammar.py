"""Grammar matchers for constrained decoding, by llguidance.

The grammars come from `worker.engine.output_formats`.
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

_MAX_COMPILED = 256
"""Compiled grammars that are cached, enough for the windows of the documents in progress."""
_NUM_TRIED_TOKENS = 8
"""Tokens that are validated one by one before the mask of all tokens is computed."""
_PARSER_LIMITS = llguidance.LLParserLimits(step_lexer_fuel=5_000_000)
"""25 times the default: only a mask refills the fuel, and dozens of tokens may pass without one."""


class GrammarCompiler:
    """Compiles grammars for one tokenizer and picks tokens that they allow. Safe to call from many
    threads."""

    def __init__(self, tokenizer: Any, vocabulary_size: int) -> None:
        """`tokenizer`: a fast Hugging Face tokenizer; `vocabulary_size`: columns of the logits."""
        self._tokens = llguidance.hf.from_tokenizer(tokenizer, n_vocab=vocabulary_size)
        self._vocabulary_size = vocabulary_size
        self._compiled: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def matcher(self, grammar: str) -> Any:
        """A matcher at the start of the grammar. Raises ValueError if the grammar is not valid.

        A grammar is compiled once and then copied: 4 ms against 0.03 ms for a list of a long window.
        """
        with self._lock:
            compiled = self._compiled.pop(grammar, None) or self._compile(grammar)
            self._compiled[grammar] = compiled
            if len(self._compiled) > _MAX_COMPILED:
                self._compiled.popitem(last=False)
            return compiled.deep_copy()

    def _compile(self, grammar: str) -> Any:
        matcher = llguidance.LLMatcher(
            self._tokens, llguidance.LLMatcher.grammar_from_lark(grammar), log_level=0, limits=_PARSER_LIMITS
        )
        if matcher.is_error():
            raise ValueError("the grammar does not compile")  # llguidance's message would quote the note
        return matcher

    def best_token(self, matcher: Any, logits: npt.NDArray[np.float32]) -> int | None:
        """The token with the largest logit that the grammar allows next; None if it allows none.

        logits: [vocabulary]. Validating one token takes 3 microseconds, the mask of all takes milliseconds.
        The token with the largest logit is allowed six of seven times, otherwise often one of the next.
        """
        for token in _largest_first(logits):
            if matcher.validate_tokens([token]):
                return token
        tokens = self._allowed(matcher)
        # When no token is allowed, llguidance reports an error and its mask holds only the end token.
        if matcher.is_error() or not len(tokens):
            return None
        return int(tokens[logits[tokens].argmax()])

    def _allowed(self, matcher: Any) -> npt.NDArray[np.intp]:
        """All tokens that the grammar allows next, in ascending order."""
        bits = llguidance.numpy.allocate_token_bitmask(1, self._vocabulary_size)
        llguidance.numpy.fill_next_token_bitmask(matcher, bits)
        flags = np.unpackbits(bits.view(np.uint8), bitorder="little", count=self._vocabulary_size)
        return np.flatnonzero(flags)


def _largest_first(logits: npt.NDArray[np.float32]) -> Iterator[int]:
    """Tokens in descending order of their logits; the lower id first among equal logits."""
    yield int(logits.argmax())
    smallest = (
        np.partition(logits, -_NUM_TRIED_TOKENS)[-_NUM_TRIED_TOKENS]
        if len(logits) > _NUM_TRIED_TOKENS
        else -np.inf
    )
    (largest,) = np.nonzero(logits > smallest)
    yield from largest[np.argsort(-logits[largest], kind="stable")].tolist()
