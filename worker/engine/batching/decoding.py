"""The next tokens of what is written: the likeliest that the grammar allows.

What the grammar forces and what is looked up in the prompt are guesses, verified here: the text is the same
token for token as without them. Knows no torch and no scheduler.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice, takewhile

import numpy as np
import numpy.typing as npt

from worker.engine.api import GenerateRequest
from worker.engine.batching.request_state import RequestState
from worker.engine.batching.sequences import MAX_DRAFT_TOKENS
from worker.engine.prompting.grammar import GrammarCompiler

_NGRAM = 2


class UnsatisfiableGrammarError(Exception):
    """The grammar allows no token where one has to come."""


def accept_tokens(
    asked: RequestState, logits: npt.NDArray[np.float32], grammars: GrammarCompiler
) -> dict[str, int]:
    """Takes what the network says into the branch; returns how many tokens of which kind, as models.usage.

    logits: [guesses + 1, vocabulary], after the last token that is sure and after each guess.
    Raises UnsatisfiableError.
    """
    continuation = asked.continuation
    assert continuation is not None
    start = len(continuation.tokens) - asked.num_draft_tokens
    guesses = continuation.tokens[start:]
    del continuation.tokens[start:]
    asked.num_draft_tokens = taken = 0
    while not asked.is_finished and continuation.tokens[start:] == guesses[:taken]:
        _take(asked, _likeliest(asked, logits[taken], grammars))
        taken = len(continuation.tokens) - start
    agreeing = _num_equal(continuation.tokens[start:], guesses)
    continuation.num_computed_tokens = start + agreeing
    continuation.logit_indexes = (len(continuation.tokens) - 1,)
    forced = min(agreeing, asked.num_forced_tokens)
    return {
        "decoded_tokens": taken - forced,
        "forced_tokens": forced,
        "accepted_tokens": agreeing - forced,
    }


def append_draft_tokens(asked: RequestState, most: int) -> int:
    """Appends what is likely to come: what the grammar forces, then, up to `most` in all, what is looked up.

    Returns how many were looked up. Forced is the text and not its spelling in tokens, which is the
    network's; llguidance's is most often the same.
    """
    continuation = asked.continuation
    assert continuation is not None
    assert isinstance(asked.request, GenerateRequest)
    room = asked.request.max_tokens - asked.num_generated_tokens - 1
    forced = _forced(asked)[: min(MAX_DRAFT_TOKENS, room)]
    found = _following((*asked.prefix_tokens, *continuation.tokens, *forced), min(most, room) - len(forced))
    ahead = [*forced, *found]
    if asked.matcher is not None and ahead:
        ahead = ahead[: asked.matcher.validate_tokens(ahead)]
    first = len(continuation.tokens) - 1
    continuation.tokens.extend(ahead)
    continuation.logit_indexes = tuple(range(first, len(continuation.tokens)))
    asked.num_draft_tokens = len(ahead)
    asked.num_forced_tokens = min(len(forced), len(ahead))
    return asked.num_draft_tokens - asked.num_forced_tokens


def _forced(asked: RequestState) -> list[int]:
    """The tokens of the text that the grammar leaves no choice about, up to the end."""
    if asked.matcher is None:
        return []
    return list(takewhile(lambda token: token != asked.end_token, asked.matcher.compute_ff_tokens()))


def _num_equal(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens at the beginning are the same."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _take(asked: RequestState, token: int) -> None:
    continuation, matcher = asked.continuation, asked.matcher
    assert continuation is not None
    if token == asked.end_token:
        asked.is_complete = True
        return
    continuation.tokens.append(token)
    if matcher is not None:
        matcher.consume_token(token)
        asked.is_complete = matcher.is_stopped() and not matcher.is_error()


def _likeliest(asked: RequestState, logits: npt.NDArray[np.float32], grammars: GrammarCompiler) -> int:
    if asked.matcher is None:
        return int(logits.argmax())
    token = None if asked.matcher.is_error() else grammars.best_token(asked.matcher, logits)
    if token is None:
        raise UnsatisfiableGrammarError
    return token


def _following(tokens: Sequence[int], most: int) -> list[int]:
    """What followed the last two tokens at their latest earlier place, none where `most` is not above 0.

    Prompt lookup (Saxena 2023, as in transformers' `prompt_lookup_num_tokens`): what copies from the note
    often goes on as the note does. Where the end is reached it goes on with what was just found, as a copy of
    LZ77 does (Ziv and Lempel 1977): what repeats itself goes on repeating.
    """
    last = tuple(tokens[-_NGRAM:])
    for place in range(len(tokens) - _NGRAM - 1, -1, -1) if most > 0 else ():
        if tokens[place] == last[0] and tuple(tokens[place : place + _NGRAM]) == last:
            found = tokens[place + _NGRAM : place + _NGRAM + most]
            return list(islice(cycle(found), most))
    return []
