"""Losses of packed rows: the log-probability of the right label words at decisions, of the tokens in answers.

Every choice and every answer of a step has the same weight, however long it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from training.examples.row_packing import Row
from training.examples.training_sequences import ChoiceTarget
from training.finetune.document_attention import document_masks

HEAD_TOKENS = 256
"""Number of tokens whose fp32 logits over the vocabulary are in memory at the same time."""
_SHAPE_TOKENS = 256
"""Rows are padded to a multiple of this: a new shape costs a CPU more than the padding."""


@dataclass(frozen=True, slots=True)
class TargetLoss:
    """The loss of one choice or answer and its number of right positions, both scalars on the device."""

    kind: str
    loss: torch.Tensor
    right: torch.Tensor
    num_positions: int


def target_losses(network: Any, rows: Sequence[Row]) -> Iterator[TargetLoss]:
    """Yields the losses of all targets after one forward pass over the rows as a batch.

    The output layer runs only at target positions. A CPU gets one row, and attends document by document.
    """
    device = network.device
    length = _SHAPE_TOKENS * math.ceil(max(len(row.tokens) for row in rows) / _SHAPE_TOKENS)
    unused = [[0] * (length - len(row.tokens)) for row in rows]
    attended: dict[str, Any] = (
        {"documents": rows[0].documents}
        if device.type == "cpu"
        else {"document_mask": document_masks([row.documents for row in rows], length).to(device)}
    )
    with torch.autocast(device.type, dtype=torch.bfloat16):
        hidden = (
            network.get_base_model()
            .model(
                input_ids=_tensor(
                    [row.tokens + fill for row, fill in zip(rows, unused, strict=True)], device
                ),
                position_ids=_tensor(
                    [row.position_ids + fill for row, fill in zip(rows, unused, strict=True)], device
                ),
                use_cache=False,
                **attended,
            )
            .last_hidden_state
        )
    weight = network.get_output_embeddings().weight
    for row, states in zip(rows, hidden, strict=True):
        for kind, target in row.choice_targets:
            yield _choice_loss(kind, states, weight, target)
        tokens = _tensor(row.tokens, device)
        for kind, positions in row.answers:
            yield _answer_loss(kind, states, weight, tokens, _tensor(positions, device))


def _tensor(numbers: Sequence[Any], device: torch.device) -> torch.Tensor:
    return torch.tensor(numbers, device=device)


def _choice_loss(kind: str, hidden: torch.Tensor, weight: torch.Tensor, target: ChoiceTarget) -> TargetLoss:
    words = weight[target.word_tokens]
    scores = (hidden[target.positions].to(words.dtype) @ words.T).float().log_softmax(-1)
    is_right = torch.from_numpy(target.is_right).to(scores.device)
    loss = -scores.masked_fill(~is_right, float("-inf")).logsumexp(-1).mean()
    hits = is_right.gather(1, scores.argmax(-1, keepdim=True)).sum()
    return TargetLoss(kind, loss, hits, len(target.positions))


def _answer_loss(
    kind: str, hidden: torch.Tensor, weight: torch.Tensor, tokens: torch.Tensor, positions: torch.Tensor
) -> TargetLoss:
    losses, hits = [], []
    for chunk in torch.split(positions, HEAD_TOKENS):
        before, targets = hidden[chunk - 1], tokens[chunk]
        # Recomputed in the backward pass: the logits of a long answer would be the largest tensor on the GPU.
        loss, right = checkpoint(_head, before, weight, targets, use_reentrant=False)
        losses.append(loss)
        hits.append(right)
    return TargetLoss(
        kind, torch.stack(losses).sum() / len(positions), torch.stack(hits).sum(), len(positions)
    )


def _head(
    before: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    logits = (before.to(weight.dtype) @ weight.T).float()
    return cross_entropy(logits, targets, reduction="sum"), (logits.detach().argmax(-1) == targets).sum()
