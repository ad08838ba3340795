"""Attention inside each document of a packed row: a continuation attends to its prefix and itself only.

On a CPU each continuation goes through the fused causal kernel together with its prefix. To compute the
queries of the prefix again makes attention a fifth slower; a mask over the whole row, ten times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

from training.examples.row_packing import PackedDocument

NAME = "packed"


def attend(
    _module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,  # noqa: ARG001  required by the interface; `documents` or `document_mask` replace it
    *,
    documents: Sequence[PackedDocument] = (),
    document_mask: torch.Tensor | None = None,
    scaling: float,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention with transformers' shapes: query [rows, heads, tokens, size], output [rows, tokens, heads,
    size].

    `document_mask`: from `document_masks`. Without it there is one row with these `documents`; without
    `documents` the row is one document.
    """
    groups = query.shape[1] // key.shape[1]
    key, value = (states.repeat_interleave(groups, dim=1) for states in (key, value))
    if document_mask is not None:
        output = scaled_dot_product_attention(query, key, value, attn_mask=document_mask, scale=scaling)
        return output.transpose(1, 2), None
    documents = documents or (PackedDocument(slice(0, 0), (slice(0, query.shape[2]),)),)
    outputs = []
    for document in documents:
        prefix, length = document.prefix, document.prefix.stop - document.prefix.start
        for number, continuation in enumerate(document.continuations):
            q, k, v = (
                torch.cat((states[:, :, prefix], states[:, :, continuation]), 2)
                for states in (query, key, value)
            )
            output = scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling)
            outputs.append(output if number == 0 else output[:, :, length:])
    whole = torch.cat(outputs, dim=2).transpose(1, 2)
    return pad(whole, (0, 0, 0, 0, 0, query.shape[2] - whole.shape[1])), None


def document_masks(rows: Sequence[Sequence[PackedDocument]], tokens: int) -> torch.Tensor:
    """Masks [rows, 1, tokens, tokens], true where a token attends to another; padding attends to itself.

    For a GPU, where one kernel with a mask is faster than many small ones.
    """
    mask = torch.eye(tokens, dtype=torch.bool).repeat(len(rows), 1, 1, 1)
    for row, documents in zip(mask[:, 0], rows, strict=True):
        for document in documents:
            for span in (document.prefix, *document.continuations):
                row[span, document.prefix] = True
                row[span, span] = True
    return mask.tril_()


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, lambda *_, **__: None)
