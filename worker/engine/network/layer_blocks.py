"""Blocks of a decoder layer in bf16: query-key-value projection, output projection and MLP, with norms and
residuals.

Projections of the same input are one product, and what follows a product happens before its result is
rounded. `worker.engine.network.int8_layers` has the same blocks in int8.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  the name all of torch's own documentation uses
from torch import nn

from worker.engine.network.linear import PackedLinear, is_plain_linear, linear_of


class LayerBlocks(NamedTuple):
    """The blocks of one layer."""

    projections: nn.Module
    """From [tokens, hidden size], normalised first, to concatenated queries, keys and values."""
    out: nn.Module
    """From the output of attention and the input of the layer to their sum, projected."""
    mlp: nn.Module
    """From [tokens, hidden size], normalised first, to the same shape, with the input added."""

    @staticmethod
    def of(layer: Any) -> LayerBlocks:
        """The blocks of a transformers layer; its linear layers may be of any kind."""
        attention, mlp = layer.self_attn, layer.mlp
        return LayerBlocks(
            QkvProjection(layer.input_layernorm, attention.q_proj, attention.k_proj, attention.v_proj),
            OutputProjection(attention.o_proj),
            MlpBlock(layer.post_attention_layernorm, mlp.gate_proj, mlp.up_proj, mlp.down_proj),
        )


class QkvProjection(nn.Module):
    """Norm and projections to queries, keys and values; one product if all three are plain weights."""

    def __init__(self, norm: Any, *linear: nn.Module) -> None:
        super().__init__()
        self._norm = RmsNorm(norm)
        weights = [layer.weight for layer in linear if is_plain_linear(layer)]
        linear_layers = (
            [PackedLinear(torch.cat(weights))] if len(weights) == len(linear) else [*map(linear_of, linear)]
        )
        self._linear_layers = nn.ModuleList(linear_layers)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """rows: [tokens, hidden size]."""
        normed = self._norm(rows)
        outputs = [linear(normed) for linear in self._linear_layers]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)


class OutputProjection(nn.Module):
    """Projection of the output of attention, plus the residual."""

    def __init__(self, linear: nn.Module) -> None:
        super().__init__()
        self._linear = linear_of(linear)

    def forward(self, attended: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """attended: [tokens, heads x size]; rows: [tokens, hidden size]."""
        return self._linear.add_residual(attended, rows)


class MlpBlock(nn.Module):
    """Norm, gate, up and down projections, plus the residual."""

    def __init__(self, norm: Any, gate: nn.Module, up: nn.Module, down: nn.Module) -> None:
        super().__init__()
        self._norm = RmsNorm(norm)
        self._gate, self._up, self._down = linear_of(gate), linear_of(up), linear_of(down)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """rows: [tokens, hidden size]."""
        normed = self._norm(rows)
        return self._down.add_residual(self._up.multiply(normed, self._gate.silu(normed)), rows)


class RmsNorm(nn.Module):
    """RMSNorm (arXiv 1910.07467): equals transformers' except for rounding, in two thirds of the time.

    On a CPU batch norm's kernel divides the rows as if each were a channel: it reads and writes bf16 and
    computes in fp32, while transformers' module holds the rows in fp32 three times. On a GPU torch has a
    kernel for it.
    """

    def __init__(self, norm: Any) -> None:
        """`norm`: the norm of a Llama or Mistral network."""
        super().__init__()
        self.weight = norm.weight
        self._epsilon: float = norm.variance_epsilon

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """rows: [..., size]; returns the same shape."""
        if rows.device.type != "cpu":
            return F.rms_norm(rows, self.weight.shape, self.weight, self._epsilon)
        flat = rows.view(-1, rows.shape[-1])
        squares = torch.linalg.vector_norm(flat, dim=-1, dtype=torch.float32).square_() / flat.shape[-1]
        zeros = torch.zeros_like(squares)
        divided = torch.batch_norm(flat[None], None, None, zeros, squares, False, 0.0, self._epsilon, False)[
            0
        ]
        return divided.mul_(self.weight).view(rows.shape)
