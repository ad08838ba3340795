"""The next tokens of what is written: the likeliest that the grammar allows, and those it forces.

Tokens that were looked up in the prompt are verified here: the text is the same token for token as
without them. Knows no torch and no scheduler.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import numpy as np
import numpy.typing as npt

from worker.asking import Asked
from worker.engine import Write
from worker.grammar import Grammars

MOST_GUESSES = 6
"""Looked up for one branch in one step."""
_NGRAM = 2


class UnsatisfiableError(Exception):
    """The grammar allows no token where one has to come."""


def advance(asked: Asked, logits: npt.NDArray[np.float32], grammars: Grammars) -> dict[str, int]:
    """Takes what the network says into the branch; returns how many tokens of which kind, as models.spending.

    logits: [guesses + 1, vocabulary], after the last token that is sure and after each guess.
    Raises UnsatisfiableError.
    """
    branch = asked.branch
    assert branch is not None
    start = len(branch.tokens) - asked.num_guesses
    guesses = branch.tokens[start:]
    del branch.tokens[start:]
    asked.num_guesses = taken = chosen = 0
    while not asked.is_over and taken <= len(guesses) and branch.tokens[start:] == guesses[:taken]:
        token = _likeliest(asked, logits[taken], grammars)
        chosen += 1
        _take(asked, token)
        taken = len(branch.tokens) - start
        if asked.is_complete:
            break
    agreeing = _num_equal(branch.tokens[start:], guesses)
    branch.computed_tokens = start + agreeing
    branch.wanted = (len(branch.tokens) - 1,)
    return {
        "decoded_tokens": chosen,
        "forced_tokens": taken - chosen,
        "accepted_tokens": min(agreeing, max(chosen - 1, 0)),
    }


def guess(asked: Asked, most: int) -> int:
    """Appends tokens that followed the last ones where they stood before; returns how many.

    Prompt lookup (Saxena 2023, as in transformers' `prompt_lookup_num_tokens`): what copies from the note
    often goes on as the note does.
    """
    branch = asked.branch
    assert branch is not None
    assert isinstance(asked.request, Write)
    room = asked.request.max_tokens - asked.num_written - 1
    found = _following((*asked.beginning, *branch.tokens), min(most, room))
    if asked.matcher is not None and found:
        found = found[: asked.matcher.validate_tokens(found)]
    branch.tokens.extend(found)
    asked.num_guesses = len(found)
    first = len(branch.tokens) - len(found) - 1
    branch.wanted = tuple(range(first, len(branch.tokens)))
    return len(found)


def _num_equal(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens at the beginning are the same."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _take(asked: Asked, token: int) -> None:
    """The chosen token, and those that the grammar forces after it."""
    branch, matcher = asked.branch, asked.matcher
    assert branch is not None
    assert isinstance(asked.request, Write)
    if token == asked.end_token:
        asked.is_complete = True
        return
    branch.tokens.append(token)
    if matcher is None:
        return
    matcher.consume_token(token)
    room = asked.request.max_tokens - asked.num_written
    forced = matcher.compute_ff_tokens()[:room]
    matcher.try_consume_tokens(forced)
    branch.tokens.extend(one for one in forced if one != asked.end_token)
    asked.is_complete = matcher.is_stopped() and not matcher.is_error()


def _likeliest(asked: Asked, logits: npt.NDArray[np.float32], grammars: Grammars) -> int:
    if asked.matcher is None:
        return int(logits.argmax())
    token = None if asked.matcher.is_error() else grammars.likeliest(asked.matcher, logits)
    if token is None:
        raise UnsatisfiableError
    return token


def _following(tokens: Sequence[int], most: int) -> list[int]:
    """What follows the latest earlier place of the last two tokens."""
    last = tuple(tokens[-_NGRAM:])
    for place in range(len(tokens) - _NGRAM - 1, -1, -1):
        if tokens[place] == last[0] and tuple(tokens[place : place + _NGRAM]) == last:
            return list(tokens[place + _NGRAM : place + _NGRAM + most])
    return []
