"""Losses of a row: at each decision the right words' log-probability, at each answer its tokens'.

Every choice and every answer of a step counts the same, however long it is.
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
from training.finetune.document_attention import seen_in

HEAD_TOKENS = 256
"""Tokens whose logits over the vocabulary are held at once, in fp32."""


_SHAPE_TOKENS = 256
"""Rows are padded to a multiple of this: a new shape costs a CPU more than the padding."""


@dataclass(frozen=True, slots=True)
class Part:
    """The loss of one choice or answer, and the number of right positions, both scalars on the device."""

    kind: str
    loss: torch.Tensor
    right: torch.Tensor
    places: int


def parts_of(network: Any, rows: Sequence[Row]) -> Iterator[Part]:
    """The network reads rows side by side, once; its output layer sees the places that count only.

    A CPU takes one row, and attends document by document.
    """
    device = network.device
    length = _SHAPE_TOKENS * math.ceil(max(len(row.tokens) for row in rows) / _SHAPE_TOKENS)
    unused = [[0] * (length - len(row.tokens)) for row in rows]
    attended: dict[str, Any] = (
        {"documents": rows[0].documents}
        if device.type == "cpu"
        else {"seen": seen_in([row.documents for row in rows], length).to(device)}
    )
    with torch.autocast(device.type, dtype=torch.bfloat16):
        hidden = (
            network.get_base_model()
            .model(
                input_ids=_tensor(
                    [row.tokens + fill for row, fill in zip(rows, unused, strict=True)], device
                ),
                position_ids=_tensor(
                    [r.positions + fill for r, fill in zip(rows, unused, strict=True)], device
                ),
                use_cache=False,
                **attended,
            )
            .last_hidden_state
        )
    weight = network.get_output_embeddings().weight
    for row, states in zip(rows, hidden, strict=True):
        for kind, right in row.rights:
            yield _decided(kind, states, weight, right)
        tokens = _tensor(row.tokens, device)
        for kind, places in row.answers:
            yield _written(kind, states, weight, tokens, _tensor(places, device))


def _tensor(numbers: Sequence[Any], device: torch.device) -> torch.Tensor:
    return torch.tensor(numbers, device=device)


def _decided(kind: str, hidden: torch.Tensor, weight: torch.Tensor, right: ChoiceTarget) -> Part:
    words = weight[right.word_tokens]
    scores = (hidden[right.places].to(words.dtype) @ words.T).float().log_softmax(-1)
    is_right = torch.from_numpy(right.is_right).to(scores.device)
    loss = -scores.masked_fill(~is_right, float("-inf")).logsumexp(-1).mean()
    hits = is_right.gather(1, scores.argmax(-1, keepdim=True)).sum()
    return Part(kind, loss, hits, len(right.places))


def _written(
    kind: str, hidden: torch.Tensor, weight: torch.Tensor, tokens: torch.Tensor, places: torch.Tensor
) -> Part:
    losses, hits = [], []
    for some in torch.split(places, HEAD_TOKENS):
        before, wanted = hidden[some - 1], tokens[some]
        # Recomputed on the way back: logits of a long answer would be the largest thing on the card.
        loss, found = checkpoint(_head, before, weight, wanted, use_reentrant=False)
        losses.append(loss)
        hits.append(found)
    return Part(kind, torch.stack(losses).sum() / len(places), torch.stack(hits).sum(), len(places))


def _head(
    before: torch.Tensor, weight: torch.Tensor, wanted: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    logits = (before.to(weight.dtype) @ weight.T).float()
    return cross_entropy(logits, wanted, reduction="sum"), (logits.detach().argmax(-1) == wanted).sum()
