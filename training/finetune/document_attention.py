"""Attention inside each document of a packed row: a branch sees its beginning and itself, nothing else.

Each branch goes through the fused causal kernel together with its beginning: computing the beginning's
queries again costs a fifth more of what attention takes, and a mask over the whole row ten times as
much on a CPU (7.7 of 15 s of a step of 2,304 tokens were spent on it).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

from training.examples.row_packing import Packed

NAME = "packed"


def attend(
    _module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,  # noqa: ARG001  by the interface; `documents` or `seen` take its place
    *,
    documents: Sequence[Packed] = (),
    seen: torch.Tensor | None = None,
    scaling: float,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Shapes as transformers has them: query [rows, heads, tokens, size]; out [rows, tokens, heads, size].
    `seen`: as `seen_in` makes it. Without it there is one row, and without documents it is one."""
    groups = query.shape[1] // key.shape[1]
    key, value = (some.repeat_interleave(groups, dim=1) for some in (key, value))
    if seen is not None:
        own = scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=scaling)
        return own.transpose(1, 2), None
    documents = documents or (Packed(slice(0, 0), (slice(0, query.shape[2]),)),)
    found = []
    for document in documents:
        beginning, length = document.beginning, document.beginning.stop - document.beginning.start
        for number, branch in enumerate(document.branches):
            q, k, v = (
                torch.cat((some[:, :, beginning], some[:, :, branch]), 2) for some in (query, key, value)
            )
            own = scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling)
            found.append(own if number == 0 else own[:, :, length:])
    whole = torch.cat(found, dim=2).transpose(1, 2)
    return pad(whole, (0, 0, 0, 0, 0, query.shape[2] - whole.shape[1])), None


def seen_in(rows: Sequence[Sequence[Packed]], tokens: int) -> torch.Tensor:
    """Which token sees which, [rows, 1, tokens, tokens], for a GPU, where one kernel under a mask costs less
    than many small ones. What fills a row up sees itself."""
    seen = torch.eye(tokens, dtype=torch.bool).repeat(len(rows), 1, 1, 1)
    for row, documents in zip(seen[:, 0], rows, strict=True):
        for document in documents:
            for stretch in (document.beginning, *document.branches):
                row[stretch, document.beginning] = True
                row[stretch, stretch] = True
    return seen.tril_()


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, lambda *_, **__: None)
