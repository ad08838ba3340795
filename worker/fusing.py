"""Layers of a Llama or Mistral network in fewer, larger products: what a CPU in bf16 gains from.

The same arithmetic in the same order as transformers' own modules, with the projections that share an
input joined, and weights laid out for the processor. Weights that are not plain (4 bits wide, or with an
adapter beside them) stay as they are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from worker.products import Product


def fuse(network: Any) -> None:
    """Replaces the attention and MLP of each layer whose weights are plain, in place."""
    for layer in network.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        if _are_plain(attention, "q_proj", "k_proj", "v_proj", "o_proj"):
            layer.self_attn = FusedAttention(attention)
        if _are_plain(mlp, "gate_proj", "up_proj", "down_proj"):
            layer.mlp = FusedMlp(mlp)


class FusedAttention(nn.Module):
    """One product for queries, keys and values; attention is the runner's, handed down as an argument."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.layer_idx: int = attention.layer_idx
        self._size: int = attention.head_dim
        self._key_heads: int = attention.k_proj.out_features // self._size
        self._heads: int = attention.q_proj.out_features // self._size
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        self._in = Product(torch.cat([one.weight for one in projections]))
        self._out = Product(attention.o_proj.weight)

    def forward(
        self,
        hidden_states: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        *,
        notemill_runner: Any,
        notemill_plan: Any,
        **_options: Any,
    ) -> tuple[torch.Tensor, None]:
        """hidden_states: [1, tokens, size of the network]."""
        together = self._in(hidden_states[0]).view(hidden_states.shape[1], -1, self._size)
        turned = _turned(together[:, : self._heads + self._key_heads], *position_embeddings)
        query, key = turned[:, : self._heads], turned[:, self._heads :]
        value = together[:, self._heads + self._key_heads :]
        found = notemill_runner.attend(self.layer_idx, query, key, value, notemill_plan)
        return self._out(found.flatten(1))[None], None


class FusedMlp(nn.Module):
    """Gate and up in one product."""

    def __init__(self, mlp: Any) -> None:
        super().__init__()
        self._in = Product(torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]))
        self._down = Product(mlp.down_proj.weight)
        self._activation = mlp.act_fn

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        gate, up = self._in(hidden_states).chunk(2, dim=-1)
        return self._down(self._activation(gate).mul_(up))  # type: ignore[no-any-return]


def _turned(heads: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Rotary positions (arXiv 2104.09864) as transformers applies them; heads: [tokens, heads, size]."""
    one, other = heads.chunk(2, dim=-1)
    half_turned = torch.cat((-other, one), dim=-1)
    return heads * cosine[0, :, None] + half_turned * sine[0, :, None]


def _are_plain(module: Any, *names: str) -> bool:
    """Linear layers without bias that are neither quantized nor wrapped by peft."""
    found = [getattr(module, name, None) for name in names]
    return all(type(one) is nn.Linear and one.bias is None for one in found)
