"""Grammars that keep what is written inside the note, and the matcher that enforces them.

Lark text for llguidance; `substring_words` compiles in milliseconds even for a long note.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import llguidance
import llguidance.hf
import llguidance.numpy
import numpy as np
import numpy.typing as npt


class Grammars:
    """Makes matchers for one tokenizer, and fills their token masks side by side."""

    def __init__(self, tokenizer: Any, vocabulary_size: int) -> None:
        """`tokenizer`: a fast Hugging Face tokenizer; `vocabulary_size`: columns of the logits."""
        self._tokens = llguidance.hf.from_tokenizer(tokenizer, n_vocab=vocabulary_size)
        self._executor = llguidance.LLExecutor()
        self._vocabulary_size = vocabulary_size

    def matcher(self, grammar: str) -> Any:
        """A matcher at the grammar's beginning. Raises ValueError where the grammar is not valid."""
        compiled = llguidance.LLMatcher.grammar_from_lark(grammar)
        matcher = llguidance.LLMatcher(self._tokens, compiled, log_level=0)
        if matcher.is_error():
            raise ValueError("the grammar does not compile")
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


def substring_of(text: str, *, longest: int, name: str = "SPAN") -> str:
    """Lark rules under which `name` is whole words of `text`, at most `longest` characters on one line.

    It begins and ends with a letter or digit (or closing bracket or per cent sign), so that a span
    is never the white space or the comma beside an entity.
    """
    words = json.dumps({"substring_words": text}, ensure_ascii=False)
    return (
        f"{name}: {name}_SUBSTRING & /[\\p{{L}}\\p{{N}}]([^\\n;|]{{0,{longest - 2}}}[\\p{{L}}\\p{{N}})%+])?/\n"
        f"{name}_SUBSTRING: %regex {words}\n"
    )
