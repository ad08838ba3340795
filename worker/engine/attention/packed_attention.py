"""Attention of packed tokens over keys and values, by plain products and softmaxes or by torch's kernels.

On a CPU torch 2.13's fused kernel reaches a quarter of the speed of its bf16 matrix products. Chunks of more
than a few tokens therefore use these products, block by block; with AMX the fused kernel is faster
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
    """Causal attention of the last tokens of a sequence over the whole sequence.

    query: [tokens, heads, size]; keys, values: [key heads, all tokens, size], those of the query's tokens
    last. Returns the shape of the query.
    """
    if query.device.type != "cpu":
        return _on_gpu(query, keys, values)
    if is_fused_faster(query.device):
        return _ungrouped(_fused(query, keys, values)[0])
    return _by_blocks(query, keys, values)


def masked_together(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Attention of several sequences with one prefix, each over the prefix and its own tokens, by one
    product.

    query: [tokens, heads, size]; keys, values: [key heads, prefix tokens + tokens, size]; mask, added to the
    scores of the last keys: [tokens x heads that share a key head, tokens]. Returns the shape of the query.
    """
    tokens, heads, size = query.shape
    output = _attend_masked(group_by_key_head(query * size**-0.5, len(keys)), keys, values, mask)
    return _ungrouped(output.view(len(keys), tokens, heads // len(keys), size))


def after_prefixes(
    query: torch.Tensor,
    prefixes: Iterable[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]],
    own: tuple[torch.Tensor, torch.Tensor],
) -> torch.Tensor:
    """Attention over whole prefixes and causally over the own tokens, computed in parts by the fused kernel.

    query: [tokens, heads, size]; keys and values of each prefix and of the own tokens: [key heads, tokens,
    size]; prefixes with an additive mask of [1, 1, 1, tokens]. Returns the shape of the query.
    """
    tokens, heads, size = query.shape
    key_heads = len(own[0])
    shape = (key_heads, tokens, heads // key_heads)
    grouped = group_by_key_head(query, key_heads)[None]
    output, sums = _fused(query, *own)
    for keys, values, mask in prefixes:
        prefix_output, log_sums = (
            tensor[0] for tensor in attend_all(grouped, keys[None], values[None], mask)
        )
        output, sums = (
            merged(prefix_output.view(*shape, size), log_sums.view(shape), output, sums),
            torch.logaddexp(log_sums.view(shape), sums),
        )
    return _ungrouped(output)


@cache
def is_fused_faster(device: torch.device) -> bool:
    """True on a CPU with AMX, where torch's kernel takes 0.4 to 0.9 of the time of products by blocks."""
    return device.type == "cpu" and bool(torch.cpu._is_amx_tile_supported())


def _on_gpu(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """FlashAttention 2 (arXiv 2307.08691), which skips blocks above the causal diagonal."""
    mask = causal_lower_right(len(query), keys.shape[1])
    grouped = query.transpose(0, 1)[None], keys[None], values[None]
    return scaled_dot_product_attention(*grouped, attn_mask=mask, enable_gqa=True)[0].transpose(0, 1)


def _fused(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Output [key heads, tokens, heads that share a key head, size], and the log-sums of weights without
    size.

    Needs no mask if there are no earlier tokens: the padding of the last block of keys comes after all
    queries.
    """
    tokens, heads, size = query.shape
    key_heads, all_tokens, _ = keys.shape
    shared = heads // key_heads
    mask = None
    if tokens == all_tokens:
        padding = -tokens % KEY_BLOCK
        query = pad(query, (0, 0, 0, 0, 0, padding))
        keys, values = pad(keys, (0, 0, 0, padding)), pad(values, (0, 0, 0, padding))
    else:
        mask = _causal_mask_at_end(query, all_tokens)
    grouped = query.view(len(query), key_heads, shared, size).permute(1, 2, 0, 3)
    # Query heads that share a key head use a view with stride 0, without a copy.
    expanded_keys, expanded_values = (tensor[:, None].expand(-1, shared, -1, -1) for tensor in (keys, values))
    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    out, log_sums = attend(grouped, expanded_keys, expanded_values, 0.0, mask is None, attn_mask=mask)
    return out[:, :, :tokens].transpose(1, 2), log_sums[:, :, :tokens].transpose(1, 2)


def _ungrouped(by_key_heads: torch.Tensor) -> torch.Tensor:
    """[key heads, tokens, heads that share a key head, size] as [tokens, heads, size]."""
    return by_key_heads.transpose(0, 1).flatten(1, 2)


def _by_blocks(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Causal attention by blocks of queries; each block skips the keys after it."""
    tokens, heads, size = query.shape
    key_heads, all_tokens, _ = keys.shape
    shared = heads // key_heads
    grouped = group_by_key_head(query * size**-0.5, key_heads)
    out = torch.empty_like(grouped)
    causal_mask = _causal_mask(shared, query.dtype, query.device)
    # The first block is shorter, so that all blocks but the last end with a whole block of keys.
    first = QUERY_BLOCK - (all_tokens - tokens) % KEY_BLOCK
    stops = [*range(first, tokens, QUERY_BLOCK), tokens]
    for start, stop in pairwise([0, *stops]):
        rows, num_keys = slice(start * shared, stop * shared), all_tokens - tokens + stop
        mask = causal_mask[: (stop - start) * shared, : stop - start]
        out[:, rows] = _attend_masked(grouped[:, rows], keys[:, :num_keys], values[:, :num_keys], mask)
    return _ungrouped(out.view(key_heads, tokens, shared, size))


def _attend_masked(
    grouped: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """grouped: [key heads, queries, size], scaled; the mask is added to the scores of the last keys."""
    scores = torch.bmm(grouped, keys.transpose(1, 2))
    scores[:, :, -mask.shape[1] :] += mask
    return torch.bmm(scores.softmax(-1), values)


def attend_all(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention over all keys, or as the mask allows, and the log-sum of the weights.

    query: [rows, heads, tokens, size]; keys, values: [rows, heads, all tokens, size]; additive mask:
    [rows, 1, tokens, all tokens] or [rows, 1, 1, all tokens]. Returns [rows, heads, tokens, size] and
    [rows, heads, tokens].
    """
    if query.device.type == "cpu":
        attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        if mask is not None:
            mask = mask.expand(-1, -1, query.shape[2], -1)
        out, log_sums = attend(query, keys, values, 0.0, False, attn_mask=mask)
        return out, log_sums
    scores = (query @ keys.transpose(-1, -2)).float() * query.shape[-1] ** -0.5
    scores = scores if mask is None else scores + mask
    return scores.softmax(-1).to(query.dtype) @ values, scores.logsumexp(-1)


def merged(
    output: torch.Tensor, log_sums: torch.Tensor, other_output: torch.Tensor, other_log_sums: torch.Tensor
) -> torch.Tensor:
    """Merges two attention outputs of the same queries over disjoint keys, weighted by their sums of weights.

    FlashAttention merges blocks in the same way (arXiv 2205.14135, 3.1).
    """
    share = torch.sigmoid(log_sums - other_log_sums).unsqueeze(-1).to(output.dtype)
    return torch.lerp(other_output, output, share)


def group_by_key_head(query: torch.Tensor, key_heads: int) -> torch.Tensor:
    """[tokens, heads, size] as [key heads, tokens x heads that share a key head, size]."""
    tokens, heads, size = query.shape
    return (
        query.view(tokens, key_heads, heads // key_heads, size).transpose(0, 1).reshape(key_heads, -1, size)
    )


@cache
def _causal_mask(shared: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """[tokens x shared, tokens] for one block: minus infinity if a key comes after its query."""
    block = QUERY_BLOCK
    mask = torch.full((block, block), float("-inf"), dtype=dtype, device=device).triu(1)
    return mask.repeat_interleave(shared, 0)


def _causal_mask_at_end(query: torch.Tensor, all_tokens: int) -> torch.Tensor:
    """[tokens, all tokens], the query's tokens last: minus infinity if a key comes after its query."""
    tokens = len(query)
    mask = torch.full((tokens, all_tokens), float("-inf"), dtype=query.dtype, device=query.device)
    return mask.triu(1 + all_tokens - tokens)
