"""Grammars that keep what is written inside the note, and the matcher that enforces them.

Lark text for llguidance; `substring_words` compiles in milliseconds even for a long note.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import llguidance
import llguidance.hf
import llguidance.numpy
import numpy as np
import numpy.typing as npt

_NUMBER = re.compile(r"\d[\d,./:-]*\d|\d")


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


def entity_list(text: str, most: int) -> str:
    """Lark: ' none', or up to `most` spans of `text` separated by '; '."""
    items = '" " SPAN' + _up_to(most - 1, '"; " SPAN')
    return f'start: (" none" | {items}) "\\n"\n' + _substring_of(text, longest=60)


def prose(text: str, *, sentences: int, longest: int, can_be_none: bool) -> str:
    """Lark: up to `sentences` sentences of at most `longest` characters, or 'None.' where that is allowed.

    Figures can only be those of `text`: a dose that the note does not have cannot be written.
    """
    numbers = sorted(set(_NUMBER.findall(text)), key=len, reverse=True)
    number = f"NUMBER: {' | '.join(map(json.dumps, numbers))}\n" if numbers else ""
    # A number is followed by something else, so that two of the note's never run into a third.
    piece, last = ("NUMBER? OTHER", "NUMBER?") if numbers else ("OTHER", "")
    none = '"None." | ' if can_be_none else ""
    return (
        f"start: {none}SENTENCE" + _up_to(sentences - 1, '" " SENTENCE') + "\n"
        f'SENTENCE: /\\p{{Lu}}/ PIECE{{8,{longest}}} {last} "."\n'
        f"PIECE: {piece}\n"
        "OTHER: /[^\\p{N}.!?\\n]/\n" + number
    )


def line_of(text: str, *, longest: int) -> str:
    """Lark: one span of `text` on one line."""
    return 'start: " "? SPAN "\\n"\n' + _substring_of(text, longest=longest)


def _up_to(most: int, item: str) -> str:
    return f" ({item}){{0,{most}}}" if most else ""


def _substring_of(text: str, *, longest: int) -> str:
    """Lark rules under which SPAN is whole words of `text`, at most `longest` characters on one line.

    It begins and ends with a letter or digit (or closing bracket or per cent sign), so that a span
    is never the white space or the comma beside an entity.
    """
    words = json.dumps({"substring_words": text}, ensure_ascii=False)
    form = f"/[\\p{{L}}\\p{{N}}]([^\\n;|]{{0,{longest - 2}}}[\\p{{L}}\\p{{N}})%+])?/"
    return f"SPAN: SUBSTRING & {form}\nSUBSTRING: %regex {words}\n"
