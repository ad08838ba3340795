"""Evens out what linear layers are given, so that 8 bits hold it better. The network stays the same.

SmoothQuant (arXiv 2211.10438): an input with outliers is made smaller in the norm that it comes from, and the
columns that multiply it larger by as much. Factors are powers of two, so that no number is rounded. How large
inputs become is seen on a sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

_SHARE = 0.5
"""How much of an outlier goes over to the weights, as the paper has it."""
_LEAST = 1e-5

Sizes = dict[nn.Module, torch.Tensor]
"""By norm, of each number that it makes: its root mean square, a token's largest being 1."""


def smooth_activations(network: Any, sample: torch.Tensor) -> None:
    """In place, of a Llama or Mistral network as transformers has it. sample: [1, tokens]."""
    moves = [
        move
        for layer in network.model.layers
        for attention, mlp in [(layer.self_attn, layer.mlp)]
        for move in (
            (layer.input_layernorm, (attention.q_proj, attention.k_proj, attention.v_proj)),
            (layer.post_attention_layernorm, (mlp.gate_proj, mlp.up_proj)),
        )
    ]
    with torch.inference_mode(), _watched([norm for norm, _ in moves]) as sizes:
        network.model(input_ids=sample, use_cache=False)
    with torch.no_grad():
        for norm, linear in moves:
            _move(sizes[norm], norm, linear)


@contextmanager
def _watched(norms: Sequence[nn.Module]) -> Iterator[Sizes]:
    sizes: Sizes = {}

    def see(norm: nn.Module, _given: object, rows: torch.Tensor) -> None:
        rows = rows.flatten(0, -2).float()
        largest = rows.abs().amax(1, keepdim=True).clamp_(min=_LEAST)
        sizes[norm] = (rows / largest).square_().mean(0).sqrt_()

    hooks = [one.register_forward_hook(see) for one in norms]
    try:
        yield sizes
    finally:
        for hook in hooks:
            hook.remove()


def _move(sizes: torch.Tensor, norm: Any, linear: Sequence[Any]) -> None:
    weights = torch.stack([one.weight.float().abs().amax(0) for one in linear]).amax(0)
    factors = sizes.clamp(min=_LEAST) ** _SHARE / weights.clamp(min=_LEAST) ** (1 - _SHARE)
    factors = torch.exp2(torch.log2(factors / factors.mean()).round()).to(norm.weight.dtype)
    norm.weight.div_(factors)
    for one in linear:
        one.weight.mul_(factors)
