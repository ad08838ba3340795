"""Attention of a piece over its sequence: every way says what plain softmax says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from worker.engine.attention import packed_attention


def plainly(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """In 64 bits, head by head; shapes as worker.engine.attention.packed_attention.causal."""
    tokens, heads, size = query.shape
    shared, past = heads // len(keys), keys.shape[1] - tokens
    out = torch.empty(tokens, heads, size, dtype=torch.float64)
    for head in range(heads):
        scores = query[:, head].double() @ keys[head // shared].double().T / size**0.5
        seen = torch.ones_like(scores, dtype=torch.bool).tril(past)
        weights = scores.masked_fill(~seen, float("-inf")).softmax(-1)
        out[:, head] = weights @ values[head // shared].double()
    return out


def fused(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return packed_attention._ungrouped(packed_attention._fused(query, keys, values)[0])


@pytest.mark.parametrize("attend", [fused, packed_attention._by_blocks, packed_attention._on_gpu])
@pytest.mark.parametrize(("tokens", "all_tokens"), [(1, 1), (1, 70), (60, 60), (200, 200), (150, 333)])
def test_each_token_attends_to_all_up_to_itself(
    attend: Callable[..., torch.Tensor], tokens: int, all_tokens: int
) -> None:
    chance = torch.Generator().manual_seed(tokens)
    query = torch.randn(tokens, 6, 16, generator=chance)
    keys, values = torch.randn(2, 2, all_tokens, 16, generator=chance)
    found = attend(query, keys, values)
    torch.testing.assert_close(found.double(), plainly(query, keys, values), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("tokens", "own_tokens", "seen"), [(1, 1, 70), (60, 60, 64), (200, 200, 333), (9, 41, 50)]
)
def test_what_follows_beginnings_attends_to_them_and_to_its_own(
    tokens: int, own_tokens: int, seen: int
) -> None:
    chance = torch.Generator().manual_seed(tokens)
    query = torch.randn(tokens, 6, 16, generator=chance)
    keys, values = torch.randn(2, 2, seen + own_tokens, 16, generator=chance)
    prefixes = []
    for here in (slice(0, seen // 3), slice(seen // 3, seen)):
        length = here.stop - here.start
        behind = torch.full((2, -length % 32, 16), 1e6)  # what lies behind a beginning in the cache
        mask = torch.zeros(1, 1, 1, length + behind.shape[1])
        mask[..., length:] = float("-inf")
        prefixes.append((*(torch.cat((one[:, here], behind), 1) for one in (keys, values)), mask))
    found = packed_attention.after_prefixes(query, prefixes, (keys[:, seen:], values[:, seen:]))
    torch.testing.assert_close(found.double(), plainly(query, keys, values), atol=1e-5, rtol=1e-5)


def test_questions_side_by_side_attend_to_their_beginning_and_each_to_its_own() -> None:
    chance = torch.Generator().manual_seed(3)
    lengths, seen = (9, 1, 40), 70
    query = torch.randn(sum(lengths), 6, 16, generator=chance)
    keys, values = torch.randn(2, 2, seen + sum(lengths), 16, generator=chance)
    of = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    place = torch.arange(sum(lengths))
    hidden = (of[:, None] != of[None]) | (place[None] > place[:, None])
    mask = torch.zeros(hidden.shape).masked_fill_(hidden, float("-inf")).repeat_interleave(3, 0)
    found = packed_attention.masked_together(query, keys, values, mask).double()
    first = 0
    for length in lengths:
        here = slice(first, first + length)
        own = [torch.cat((one[:, :seen], one[:, seen:][:, here]), 1) for one in (keys, values)]
        torch.testing.assert_close(found[here], plainly(query[here], *own), atol=1e-5, rtol=1e-5)
        first += length
