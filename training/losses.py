"""What a row costs: at each decision the right words' log-probability, at each answer its tokens'.

Every choice and every answer of a step counts the same, however long it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from training.packing import Row
from training.pieces import Right

HEAD_TOKENS = 256
"""Tokens whose logits over the vocabulary are held at once, in fp32."""


_SHAPE_TOKENS = 256
"""Rows are filled up to a multiple of it: a new shape costs a CPU more than what padding wastes."""


@dataclass(frozen=True, slots=True)
class Part:
    """The loss of one choice or answer, and how many of its places were right."""

    kind: str
    loss: torch.Tensor
    right: int
    places: int


def parts_of(network: Any, row: Row) -> Iterator[Part]:
    """The network reads the row once; its output layer sees the places that count only."""
    device = network.device
    unused = [0] * (-len(row.tokens) % _SHAPE_TOKENS)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        hidden = (
            network.get_base_model()
            .model(
                input_ids=torch.tensor([row.tokens + unused], device=device),
                position_ids=torch.tensor([row.positions + unused], device=device),
                documents=row.documents,
                use_cache=False,
            )
            .last_hidden_state[0]
        )
    weight = network.get_output_embeddings().weight
    for kind, right in row.rights:
        yield _decided(kind, hidden, weight, right)
    tokens = torch.tensor(row.tokens, device=device)
    for kind, places in row.answers:
        yield _written(kind, hidden, weight, tokens, torch.tensor(places, device=device))


def _decided(kind: str, hidden: torch.Tensor, weight: torch.Tensor, right: Right) -> Part:
    words = weight[right.word_tokens]
    scores = (hidden[right.places].to(words.dtype) @ words.T).float().log_softmax(-1)
    is_right = torch.from_numpy(right.is_right).to(scores.device)
    loss = -scores.masked_fill(~is_right, float("-inf")).logsumexp(-1).mean()
    hits = is_right.gather(1, scores.argmax(-1, keepdim=True)).sum()
    return Part(kind, loss, int(hits), len(right.places))


def _written(
    kind: str, hidden: torch.Tensor, weight: torch.Tensor, tokens: torch.Tensor, places: torch.Tensor
) -> Part:
    losses, hits = [], 0
    for some in torch.split(places, HEAD_TOKENS):
        before, wanted = hidden[some - 1], tokens[some]
        # Recomputed on the way back: logits of a long answer would be the largest thing on the card.
        loss, found = checkpoint(_head, before, weight, wanted, use_reentrant=False)
        losses.append(loss)
        hits += int(found)
    return Part(kind, torch.stack(losses).sum() / len(places), hits, len(places))


def _head(
    before: torch.Tensor, weight: torch.Tensor, wanted: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    logits = (before.to(weight.dtype) @ weight.T).float()
    return cross_entropy(logits, wanted, reduction="sum"), (logits.detach().argmax(-1) == wanted).sum()
