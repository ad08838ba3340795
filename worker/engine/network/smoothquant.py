"""SmoothQuant (arXiv 2211.10438): moves outliers from inputs into weights, so that int8 represents inputs
better.

The norm before a linear layer scales channels with outliers down, and the weights scale them up; the function
of the network stays the same. Factors are powers of two, so that nothing is rounded. A sample text shows how
large inputs are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

_MIGRATION_STRENGTH = 0.5
"""Migration strength alpha of the paper: the share of an outlier that moves into the weights."""
_MIN_MAGNITUDE = 1e-5

NormMagnitudes = dict[nn.Module, torch.Tensor]
"""By norm: the root mean square of each output channel, relative to the largest channel of each token."""


def smooth_activations(network: Any, sample: torch.Tensor) -> None:
    """Smooths a transformers Llama or Mistral network in place. sample: [1, tokens]."""
    pairs = [
        pair
        for layer in network.model.layers
        for attention, mlp in [(layer.self_attn, layer.mlp)]
        for pair in (
            (layer.input_layernorm, (attention.q_proj, attention.k_proj, attention.v_proj)),
            (layer.post_attention_layernorm, (mlp.gate_proj, mlp.up_proj)),
        )
    ]
    with torch.inference_mode(), _measured_magnitudes([norm for norm, _ in pairs]) as magnitudes:
        network.model(input_ids=sample, use_cache=False)
    with torch.no_grad():
        for norm, linear in pairs:
            _migrate(magnitudes[norm], norm, linear)


@contextmanager
def _measured_magnitudes(norms: Sequence[nn.Module]) -> Iterator[NormMagnitudes]:
    magnitudes: NormMagnitudes = {}

    def measure(norm: nn.Module, _inputs: object, rows: torch.Tensor) -> None:
        rows = rows.flatten(0, -2).float()
        largest = rows.abs().amax(1, keepdim=True).clamp_(min=_MIN_MAGNITUDE)
        magnitudes[norm] = (rows / largest).square_().mean(0).sqrt_()

    hooks = [norm.register_forward_hook(measure) for norm in norms]
    try:
        yield magnitudes
    finally:
        for hook in hooks:
            hook.remove()


def _migrate(magnitudes: torch.Tensor, norm: Any, linear: Sequence[Any]) -> None:
    weights = torch.stack([layer.weight.float().abs().amax(0) for layer in linear]).amax(0)
    factors = magnitudes.clamp(min=_MIN_MAGNITUDE) ** _MIGRATION_STRENGTH / weights.clamp(
        min=_MIN_MAGNITUDE
    ) ** (1 - _MIGRATION_STRENGTH)
    factors = torch.exp2(torch.log2(factors / factors.mean()).round()).to(norm.weight.dtype)
    norm.weight.div_(factors)
    for layer in linear:
        layer.weight.mul_(factors)
