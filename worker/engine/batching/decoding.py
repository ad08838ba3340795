"""Constrained greedy decoding with draft tokens: appends the best token that the grammar allows.

Draft tokens are those that the grammar forces and those that prompt-lookup decoding finds. They are verified,
so that the text is the same, token for token, as without them. Does not import torch or the scheduler.
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
"""Number of last tokens that prompt-lookup decoding searches for."""


class UnsatisfiableGrammarError(Exception):
    """The grammar allows no next token although the text is not complete."""


def accept_tokens(
    state: RequestState, logits: npt.NDArray[np.float32], grammars: GrammarCompiler
) -> dict[str, int]:
    """Verifies the draft tokens by the logits and appends one more token.

    logits: [draft tokens + 1, vocabulary], after the last verified token and after each draft token. Returns
    the number of tokens of each kind, by the field names of `models.usage`. Raises UnsatisfiableGrammarError.
    """
    continuation = state.continuation
    assert continuation is not None
    start = len(continuation.tokens) - state.num_draft_tokens
    drafts = continuation.tokens[start:]
    del continuation.tokens[start:]
    state.num_draft_tokens = num_taken = 0
    while not state.is_finished and continuation.tokens[start:] == drafts[:num_taken]:
        _append(state, _best_token(state, logits[num_taken], grammars))
        num_taken = len(continuation.tokens) - start
    num_accepted = _num_equal(continuation.tokens[start:], drafts)
    continuation.num_computed_tokens = start + num_accepted
    continuation.logit_indexes = (len(continuation.tokens) - 1,)
    forced = min(num_accepted, state.num_forced_tokens)
    return {
        "decoded_tokens": num_taken - forced,
        "forced_tokens": forced,
        "accepted_tokens": num_accepted - forced,
    }


def append_draft_tokens(state: RequestState, limit: int) -> int:
    """Appends draft tokens: those that the grammar forces, then looked-up ones, up to `limit` in all.

    Returns the number of looked-up tokens. The grammar forces a text, not its tokenization, which the network
    chooses; llguidance's tokenization is usually the same.
    """
    continuation = state.continuation
    assert continuation is not None
    assert isinstance(state.request, GenerateRequest)
    room = state.request.max_tokens - state.num_generated_tokens - 1
    forced = _forced_tokens(state)[: min(MAX_DRAFT_TOKENS, room)]
    looked_up = _following(
        (*state.prefix_tokens, *continuation.tokens, *forced), min(limit, room) - len(forced)
    )
    drafts = [*forced, *looked_up]
    if state.matcher is not None and drafts:
        drafts = drafts[: state.matcher.validate_tokens(drafts)]
    first = len(continuation.tokens) - 1
    continuation.tokens.extend(drafts)
    continuation.logit_indexes = tuple(range(first, len(continuation.tokens)))
    state.num_draft_tokens = len(drafts)
    state.num_forced_tokens = min(len(forced), len(drafts))
    return state.num_draft_tokens - state.num_forced_tokens


def _forced_tokens(state: RequestState) -> list[int]:
    """Tokens of the text that the grammar forces next, without the end token."""
    if state.matcher is None:
        return []
    return list(takewhile(lambda token: token != state.end_token, state.matcher.compute_ff_tokens()))


def _num_equal(tokens: Sequence[int], others: Sequence[int]) -> int:
    """Number of first tokens that are equal."""
    pairs = zip(tokens, others, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _append(state: RequestState, token: int) -> None:
    continuation, matcher = state.continuation, state.matcher
    assert continuation is not None
    if token == state.end_token:
        state.is_complete = True
        return
    continuation.tokens.append(token)
    if matcher is not None:
        matcher.consume_token(token)
        state.is_complete = matcher.is_stopped() and not matcher.is_error()


def _best_token(state: RequestState, logits: npt.NDArray[np.float32], grammars: GrammarCompiler) -> int:
    if state.matcher is None:
        return int(logits.argmax())
    token = None if state.matcher.is_error() else grammars.best_token(state.matcher, logits)
    if token is None:
        raise UnsatisfiableGrammarError
    return token


def _following(tokens: Sequence[int], limit: int) -> list[int]:
    """The `limit` tokens that followed the last two tokens where these occurred before, most recent first.

    Prompt lookup (Saxena 2023, as in transformers' `prompt_lookup_num_tokens`): text copied from the note
    often continues as the note does. At the end of the tokens the match repeats itself, as a copy of LZ77
    does (Ziv and Lempel 1977). Empty if there is no match or `limit` is not positive.
    """
    last = tuple(tokens[-_NGRAM:])
    for position in range(len(tokens) - _NGRAM - 1, -1, -1) if limit > 0 else ():
        if tokens[position] == last[0] and tuple(tokens[position : position + _NGRAM]) == last:
            following = tokens[position + _NGRAM : position + _NGRAM + limit]
            return list(islice(cycle(following), limit))
    return []
