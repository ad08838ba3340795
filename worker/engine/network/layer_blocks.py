"""The parts of a layer that are products, each with what comes before and after it, in bf16.

Projections that share an input are one product, and what follows a product is done before it is rounded.
`worker.engine.network.int8_layers` has the same parts in 8 bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  the name all of torch's own documentation uses
from torch import nn

from worker.engine.network.linear import PackedLinear, is_plain_linear, linear_of


class LayerBlocks(NamedTuple):
    """Of one layer."""

    projections: nn.Module
    """[tokens, size of the network] to queries, keys and values next to each other; a norm before."""
    out: nn.Module
    """What attention found, and what came into the layer, to their sum."""
    mlp: nn.Module
    """[tokens, size of the network] to the same; a norm before, and what came in is added."""

    @staticmethod
    def of(layer: Any) -> LayerBlocks:
        """Of a layer of transformers, its linear layers plain or not."""
        attention, mlp = layer.self_attn, layer.mlp
        return LayerBlocks(
            QkvProjection(layer.input_layernorm, attention.q_proj, attention.k_proj, attention.v_proj),
            OutputProjection(attention.o_proj),
            MlpBlock(layer.post_attention_layernorm, mlp.gate_proj, mlp.up_proj, mlp.down_proj),
        )


class QkvProjection(nn.Module):
    """In one product where all three are plain weights."""

    def __init__(self, norm: Any, *linear: nn.Module) -> None:
        super().__init__()
        self._norm = RmsNorm(norm)
        weights = [layer.weight for layer in linear if is_plain_linear(layer)]
        linear_layers = [PackedLinear(torch.cat(weights))] if len(weights) == len(linear) else [*map(linear_of, linear)]
        self._linear_layers = nn.ModuleList(linear_layers)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """rows: [tokens, size of the network]."""
        normed = self._norm(rows)
        attended = [linear(normed) for linear in self._linear_layers]
        return attended[0] if len(attended) == 1 else torch.cat(attended, -1)


class OutputProjection(nn.Module):
    """The product of what attention found, plus what came in."""

    def __init__(self, linear: nn.Module) -> None:
        super().__init__()
        self._linear = linear_of(linear)

    def forward(self, attended: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """found: [tokens, heads x size]; rows: [tokens, size of the network]."""
        return self._linear.add_residual(attended, rows)


class MlpBlock(nn.Module):
    """Gate, up and down, plus what came in."""

    def __init__(self, norm: Any, gate: nn.Module, up: nn.Module, down: nn.Module) -> None:
        super().__init__()
        self._norm = RmsNorm(norm)
        self._gate, self._up, self._down = linear_of(gate), linear_of(up), linear_of(down)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """rows: [tokens, size of the network]."""
        normed = self._norm(rows)
        return self._down.add_residual(self._up.multiply(normed, self._gate.silu(normed)), rows)


class RmsNorm(nn.Module):
    """RMSNorm (arXiv 1910.07467), with transformers' numbers but for rounding, in two thirds of the time.

    On a CPU rows are divided by batch norm's kernel, as if each were a channel: it reads and writes bf16 and
    computes in fp32 between, where transformers' own has the rows in fp32 three times in memory. On a GPU
    torch has a kernel for it.
    """

    def __init__(self, norm: Any) -> None:
        """Of a Llama or Mistral network."""
        super().__init__()
        self.weight = norm.weight
        self._epsilon: float = norm.variance_epsilon

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """rows: [..., size]; returned as they are."""
        if rows.device.type != "cpu":
            return F.rms_norm(rows, self.weight.shape, self.weight, self._epsilon)
        flat = rows.view(-1, rows.shape[-1])
        squares = torch.linalg.vector_norm(flat, dim=-1, dtype=torch.float32).square_() / flat.shape[-1]
        zeros = torch.zeros_like(squares)
        divided = torch.batch_norm(flat[None], None, None, zeros, squares, False, 0.0, self._epsilon, False)[0]
        return divided.mul_(self.weight).view(rows.shape)
