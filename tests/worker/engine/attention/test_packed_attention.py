"""Packed attention: every implementation equals plain softmax attention."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from worker.engine.attention import packed_attention


def plain_attention(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Plain attention in fp64, head by head; shapes as in `packed_attention.causal`."""
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
def test_causal_attention_equals_plain_softmax(
    attend: Callable[..., torch.Tensor], tokens: int, all_tokens: int
) -> None:
    generator = torch.Generator().manual_seed(tokens)
    query = torch.randn(tokens, 6, 16, generator=generator)
    keys, values = torch.randn(2, 2, all_tokens, 16, generator=generator)
    output = attend(query, keys, values)
    torch.testing.assert_close(output.double(), plain_attention(query, keys, values), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("tokens", "own_tokens", "seen"), [(1, 1, 70), (60, 60, 64), (200, 200, 333), (9, 41, 50)]
)
def test_attention_after_prefixes_equals_plain_softmax_over_prefixes_and_own_tokens(
    tokens: int, own_tokens: int, seen: int
) -> None:
    generator = torch.Generator().manual_seed(tokens)
    query = torch.randn(tokens, 6, 16, generator=generator)
    keys, values = torch.randn(2, 2, seen + own_tokens, 16, generator=generator)
    prefixes = []
    for tokens_of in (slice(0, seen // 3), slice(seen // 3, seen)):
        length = tokens_of.stop - tokens_of.start
        behind = torch.full((2, -length % 32, 16), 1e6)  # what follows a prefix in the cache
        mask = torch.zeros(1, 1, 1, length + behind.shape[1])
        mask[..., length:] = float("-inf")
        prefixes.append((*(torch.cat((tensor[:, tokens_of], behind), 1) for tensor in (keys, values)), mask))
    output = packed_attention.after_prefixes(query, prefixes, (keys[:, seen:], values[:, seen:]))
    torch.testing.assert_close(output.double(), plain_attention(query, keys, values), atol=1e-5, rtol=1e-5)


def test_masked_questions_attend_to_their_prefix_and_each_to_its_own_tokens() -> None:
    generator = torch.Generator().manual_seed(3)
    lengths, seen = (9, 1, 40), 70
    query = torch.randn(sum(lengths), 6, 16, generator=generator)
    keys, values = torch.randn(2, 2, seen + sum(lengths), 16, generator=generator)
    owner = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    position = torch.arange(sum(lengths))
    hidden = (owner[:, None] != owner[None]) | (position[None] > position[:, None])
    mask = torch.zeros(hidden.shape).masked_fill_(hidden, float("-inf")).repeat_interleave(3, 0)
    output = packed_attention.masked_together(query, keys, values, mask).double()
    first = 0
    for length in lengths:
        tokens_of = slice(first, first + length)
        own = [torch.cat((tensor[:, :seen], tensor[:, seen:][:, tokens_of]), 1) for tensor in (keys, values)]
        torch.testing.assert_close(
            output[tokens_of], plain_attention(query[tokens_of], *own), atol=1e-5, rtol=1e-5
        )
        first += length
