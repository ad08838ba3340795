"""Attention of packed tokens over the caches, a few plain products and softmaxes. Knows no scheduler.

The fused kernel of torch 2.13 for a CPU reaches a quarter of what its matrix products reach in bf16, so
pieces of more than a few tokens are attended with those, block by block; only with AMX it is the faster
(docs/results/performance.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import pairwise

import torch
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import pad, scaled_dot_product_attention

from worker.engine.memory.footprint import KEY_BLOCK, QUERY_BLOCK


def causal(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The last tokens of a sequence, each over all of the sequence up to itself.

    query: [tokens, heads, size]; keys, values: [key heads, all tokens, size], the query's own at the end.
    Returns as query.
    """
    if query.device.type != "cpu":
        return _on_gpu(query, keys, values)
    if is_fused_faster(query.device):
        return _packed(_fused(query, keys, values)[0])
    return _by_blocks(query, keys, values)


def masked_together(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Tokens of several sequences that share a beginning, each over that and over its own, by one product.

    query: [tokens, heads, size]; keys, values: [key heads, the beginning's and its tokens, size]; mask, to be
    added where these tokens are the keys: [tokens x heads that share a key head, tokens]. Returns as query.
    """
    tokens, heads, size = query.shape
    found = _masked(group_by_key_head(query * size**-0.5, len(keys)), keys, values, mask)
    return _packed(found.view(len(keys), tokens, heads // len(keys), size))


def after_prefixes(
    query: torch.Tensor,
    prefixes: Iterable[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]],
    own: tuple[torch.Tensor, torch.Tensor],
) -> torch.Tensor:
    """`causal` in parts, where the fused kernel is the faster: of beginnings everything is seen.

    query: [tokens, heads, size]; keys and values of each beginning and of the query's own sequence:
    [key heads, tokens, size], a beginning's with a mask of [1, 1, 1, tokens] to be added. Returns as query.
    """
    tokens, heads, size = query.shape
    key_heads = len(own[0])
    shape = (key_heads, tokens, heads // key_heads)
    asked = group_by_key_head(query, key_heads)[None]
    found, sums = _fused(query, *own)
    for keys, values, mask in prefixes:
        whole, weights = (one[0] for one in attend_all(asked, keys[None], values[None], mask))
        found, sums = (
            merged(whole.view(*shape, size), weights.view(shape), found, sums),
            torch.logaddexp(weights.view(shape), sums),
        )
    return _packed(found)


@cache
def is_fused_faster(device: torch.device) -> bool:
    """Whether it has AMX: torch's kernel took 0.4 to 0.9 of the time of products by blocks."""
    return device.type == "cpu" and bool(torch.cpu._is_amx_tile_supported())


def _on_gpu(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """FlashAttention 2 (arXiv 2307.08691), which leaves out what only later queries may see."""
    mask = causal_lower_right(len(query), keys.shape[1])
    grouped = query.transpose(0, 1)[None], keys[None], values[None]
    return scaled_dot_product_attention(*grouped, attn_mask=mask, enable_gqa=True)[0].transpose(0, 1)


def _fused(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """[key heads, tokens, heads that share a key head, size]; logarithms of sums of weights, without size.

    Without a mask where the query's tokens are all that there is: what fills up a block of keys comes after
    them and is not seen.
    """
    tokens, heads, size = query.shape
    key_heads, all_tokens, _ = keys.shape
    shared = heads // key_heads
    mask = None
    if tokens == all_tokens:
        missing = -tokens % KEY_BLOCK
        query = pad(query, (0, 0, 0, 0, 0, missing))
        keys, values = pad(keys, (0, 0, 0, missing)), pad(values, (0, 0, 0, missing))
    else:
        mask = _later_than(query, all_tokens)
    grouped = query.view(len(query), key_heads, shared, size).permute(1, 2, 0, 3)
    # A key head stands for all that share it: a step of no width, nothing is copied.
    seen_keys, seen_values = (one[:, None].expand(-1, shared, -1, -1) for one in (keys, values))
    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    out, weights = attend(grouped, seen_keys, seen_values, 0.0, mask is None, attn_mask=mask)
    return out[:, :, :tokens].transpose(1, 2), weights[:, :, :tokens].transpose(1, 2)


def _packed(by_key_heads: torch.Tensor) -> torch.Tensor:
    """[key heads, tokens, heads that share a key head, size] as [tokens, heads, size]."""
    return by_key_heads.transpose(0, 1).flatten(1, 2)


def _by_blocks(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """What only later queries may see is left out from block to block."""
    tokens, heads, size = query.shape
    key_heads, all_tokens, _ = keys.shape
    shared = heads // key_heads
    grouped = group_by_key_head(query * size**-0.5, key_heads)
    out = torch.empty_like(grouped)
    later = _later(shared, query.dtype, query.device)
    # The first block is shorter, so that all but the last reach to the end of a whole block of keys.
    first = QUERY_BLOCK - (all_tokens - tokens) % KEY_BLOCK
    stops = [*range(first, tokens, QUERY_BLOCK), tokens]
    for start, stop in pairwise([0, *stops]):
        rows, reach = slice(start * shared, stop * shared), all_tokens - tokens + stop
        mask = later[: (stop - start) * shared, : stop - start]
        out[:, rows] = _masked(grouped[:, rows], keys[:, :reach], values[:, :reach], mask)
    return _packed(out.view(key_heads, tokens, shared, size))


def _masked(
    grouped: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """grouped: [key heads, queries, size], scaled; the mask is added to the scores of the last keys."""
    scores = torch.bmm(grouped, keys.transpose(1, 2))
    scores[:, :, -mask.shape[1] :] += mask
    return torch.bmm(scores.softmax(-1), values)


def attend_all(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries over keys that they may all see, or as the mask says, and the logarithm of their weights' sum.

    query: [rows, heads, tokens, size]; keys, values: [rows, heads, all tokens, size]; mask, to be added:
    [rows, 1, tokens, all tokens], or of one for all tokens. Returns [rows, heads, tokens, size] and
    [rows, heads, tokens].
    """
    if query.device.type == "cpu":
        attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        if mask is not None:
            mask = mask.expand(-1, -1, query.shape[2], -1)
        out, weights = attend(query, keys, values, 0.0, False, attn_mask=mask)
        return out, weights
    scores = (query @ keys.transpose(-1, -2)).float() * query.shape[-1] ** -0.5
    scores = scores if mask is None else scores + mask
    return scores.softmax(-1).to(query.dtype) @ values, scores.logsumexp(-1)


def merged(
    one: torch.Tensor, one_weights: torch.Tensor, other: torch.Tensor, other_weights: torch.Tensor
) -> torch.Tensor:
    """Two attentions of the same queries over disjoint keys as one over all of them.

    As FlashAttention does from block to block (arXiv 2205.14135, 3.1): each counts by its weights' sum.
    """
    share = torch.sigmoid(one_weights - other_weights).unsqueeze(-1).to(one.dtype)
    return torch.lerp(other, one, share)


def group_by_key_head(query: torch.Tensor, key_heads: int) -> torch.Tensor:
    """[tokens, heads, size] as [key heads, tokens x heads that share a key head, size]."""
    tokens, heads, size = query.shape
    return (
        query.view(tokens, key_heads, heads // key_heads, size).transpose(0, 1).reshape(key_heads, -1, size)
    )


@cache
def _later(shared: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """[tokens x shared, tokens] of a block: minus infinity where a key comes after its query."""
    together = QUERY_BLOCK
    mask = torch.full((together, together), float("-inf"), dtype=dtype, device=device).triu(1)
    return mask.repeat_interleave(shared, 0)


def _later_than(query: torch.Tensor, all_tokens: int) -> torch.Tensor:
    """[tokens, all tokens], the query's at the end: minus infinity where a key comes after its query."""
    tokens = len(query)
    mask = torch.full((tokens, all_tokens), float("-inf"), dtype=query.dtype, device=query.device)
    return mask.triu(1 + all_tokens - tokens)
