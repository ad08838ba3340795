"""Attention inside each piece of a packed row, and across none: the fused causal kernel, piece by piece.

A mask over the whole row would say the same and cost a CPU ten times as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

NAME = "packed"


def attend(
    _module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,  # noqa: ARG001  by the interface; `segments` takes its place
    *,
    segments: Sequence[slice],
    scaling: float,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Shapes as transformers has them: query [1, heads, tokens, size]; out [1, tokens, heads, size]."""
    groups = query.shape[1] // key.shape[1]
    key, value = (some.repeat_interleave(groups, dim=1) for some in (key, value))
    found = [
        scaled_dot_product_attention(
            query[:, :, one], key[:, :, one], value[:, :, one], is_causal=True, scale=scaling
        )
        for one in segments
    ]
    return torch.cat(found, dim=2).transpose(1, 2), None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, lambda *_, **__: None)
