"""Attention of packed tokens over the caches, a few plain products and softmaxes. Knows no scheduler.

The fused kernel of torch 2.13 for a CPU reaches a quarter of what its matrix products reach in bf16, so
pieces of more than a few tokens are attended with those, block by block; only with AMX it is the faster
(docs/performance.md).
"""

from __future__ import annotations

from functools import cache

import torch
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention

from worker.footprint import ATTENDED_TOGETHER


def causal(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The last tokens of a sequence, each over all of the sequence up to itself.

    query: [tokens, heads, size]; keys, values: [key heads, all tokens, size], the query's own at the end.
    Returns as query.
    """
    if query.device.type != "cpu":
        return _on_gpu(query, keys, values)
    return _fused(query, keys, values) if is_fused_faster() else _by_blocks(query, keys, values)


@cache
def is_fused_faster() -> bool:
    """Whether this processor has AMX: torch's kernel took 0.4 to 0.9 of the time of products by blocks."""
    return bool(torch.cpu._is_amx_tile_supported())


def _on_gpu(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """FlashAttention 2 (arXiv 2307.08691), which leaves out what only later queries may see."""
    mask = causal_lower_right(len(query), keys.shape[1])
    grouped = query.transpose(0, 1)[None], keys[None], values[None]
    return scaled_dot_product_attention(*grouped, attn_mask=mask, enable_gqa=True)[0].transpose(0, 1)


def _fused(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    tokens, heads, size = query.shape
    key_heads, all_tokens, _ = keys.shape
    shared = heads // key_heads
    grouped = query.view(tokens, key_heads, shared, size).permute(1, 2, 0, 3)
    # A key head stands for all that share it: a step of no width, nothing is copied.
    seen_keys, seen_values = (one[:, None].expand(-1, shared, -1, -1) for one in (keys, values))
    is_whole = tokens == all_tokens
    mask = None if is_whole else _later_than(query, all_tokens)
    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    out, _ = attend(grouped, seen_keys, seen_values, 0.0, is_whole, attn_mask=mask)
    packed: torch.Tensor = out.permute(2, 0, 1, 3).reshape(tokens, heads, size)
    return packed


def _by_blocks(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """What only later queries may see is left out from block to block."""
    tokens, heads, size = query.shape
    key_heads, all_tokens, _ = keys.shape
    shared = heads // key_heads
    grouped = by_key_head(query * size**-0.5, key_heads)
    out = torch.empty_like(grouped)
    later = _later(min(ATTENDED_TOGETHER, tokens), shared, query)
    for start in range(0, tokens, ATTENDED_TOGETHER):
        stop = min(tokens, start + ATTENDED_TOGETHER)
        rows = slice(start * shared, stop * shared)
        past, reach = all_tokens - tokens + start, all_tokens - tokens + stop
        scores = torch.bmm(grouped[:, rows], keys[:, :reach].transpose(1, 2))
        scores[:, :, past:] += later[: (stop - start) * shared, : stop - start]
        out[:, rows] = torch.bmm(scores.softmax(-1), values[:, :reach])
    return out.view(key_heads, tokens, shared, size).transpose(0, 1).reshape(tokens, heads, size)


def seen(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries over keys that they may all see, or as the mask says, and the logarithm of their weights' sum.

    query: [rows, heads, tokens, size]; keys, values: [rows, heads, all tokens, size]; mask, to be added:
    [rows, 1, tokens, all tokens]. Returns [rows, heads, tokens, size] and [rows, heads, tokens].
    """
    if query.device.type == "cpu":
        attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        out, weights = attend(query, keys, values, 0.0, False, attn_mask=mask)
        return out, weights
    scores = (query @ keys.transpose(-1, -2)).float() * query.shape[-1] ** -0.5
    scores = scores if mask is None else scores + mask
    return scores.softmax(-1).to(query.dtype) @ values, scores.logsumexp(-1)


def joined(
    one: torch.Tensor, one_weights: torch.Tensor, other: torch.Tensor, other_weights: torch.Tensor
) -> torch.Tensor:
    """Two attentions of the same queries over disjoint keys as one over all of them.

    As FlashAttention does from block to block (arXiv 2205.14135, 3.1): each counts by its weights' sum.
    """
    share = torch.sigmoid(one_weights - other_weights).unsqueeze(-1).to(one.dtype)
    return torch.lerp(other, one, share)


def by_key_head(query: torch.Tensor, key_heads: int) -> torch.Tensor:
    """[tokens, heads, size] as [key heads, tokens x heads that share a key head, size]."""
    tokens, heads, size = query.shape
    return (
        query.view(tokens, key_heads, heads // key_heads, size).transpose(0, 1).reshape(key_heads, -1, size)
    )


def _later(tokens: int, shared: int, like: torch.Tensor) -> torch.Tensor:
    """[tokens x shared, tokens]: minus infinity where a key comes after its query."""
    return _later_than(like[:tokens], tokens).repeat_interleave(shared, 0)


def _later_than(query: torch.Tensor, all_tokens: int) -> torch.Tensor:
    """[tokens, all tokens], the query's at the end: minus infinity where a key comes after its query."""
    tokens = len(query)
    mask = torch.full((tokens, all_tokens), float("-inf"), dtype=query.dtype, device=query.device)
    return mask.triu(1 + all_tokens - tokens)
