"""Layers of a Llama or Mistral network in fewer, larger steps.

The same arithmetic as transformers' own modules. On a CPU projections that share an input are joined, weights
laid out for the processor, and what follows a product is done on its numbers before they are rounded and
written; on a GPU half as many kernels are launched.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  the name all of torch's own documentation uses
from torch import nn
from transformers.activations import SiLUActivation

from worker.adapting import Adapted
from worker.products import Product, is_plain, product_of

_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")
_MLP = ("gate_proj", "up_proj", "down_proj")
_LAYER = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}


def fuse(network: Any) -> None:
    """Replaces the layers, in place, where all are made of what ours compute; else none."""
    body = network.model
    if all(_is_usual(layer) for layer in body.layers):
        body.rotary_emb = _Turns(body.rotary_emb)
        body.norm = Norm(body.norm)
        last = len(body.layers) - 1
        body.layers = nn.ModuleList(
            FusedLayer(layer, is_last=number == last) for number, layer in enumerate(body.layers)
        )


class FusedLayer(nn.Module):
    """Attention and MLP, each added to what came in; attention is handed down."""

    def __init__(self, layer: Any, *, is_last: bool) -> None:
        super().__init__()
        self._is_last = is_last
        attention, mlp = layer.self_attn, layer.mlp
        self._number: int = attention.layer_idx
        self._size: int = attention.head_dim
        self._heads: int = attention.q_proj.out_features // self._size
        self._key_heads: int = attention.k_proj.out_features // self._size
        self._before_attention = Norm(layer.input_layernorm)
        self._projections = _Projections(attention.q_proj, attention.k_proj, attention.v_proj)
        self._out = product_of(attention.o_proj)
        self._before_mlp = Norm(layer.post_attention_layernorm)
        self._gate = product_of(mlp.gate_proj)
        self._up = product_of(mlp.up_proj)
        self._down = product_of(mlp.down_proj)

    def forward(
        self,
        hidden_states: torch.Tensor,
        *,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        notemill_attend: Any,
        notemill_wanted: torch.Tensor | None = None,
        **_options: Any,
    ) -> torch.Tensor:
        """hidden_states: [1, tokens, size of the network]; returned as it, by the last layer of the wanted
        tokens only, where not all are."""
        rows = hidden_states[0]
        together = self._projections(self._before_attention(rows)).view(len(rows), -1, self._size)
        turned = _turned(together[:, : self._heads + self._key_heads], *position_embeddings)
        query, key = turned[:, : self._heads], turned[:, self._heads :]
        value = together[:, self._heads + self._key_heads :]
        found = notemill_attend(self._number, query, key, value)
        if self._is_last and notemill_wanted is not None:
            rows, found = rows[notemill_wanted], found[notemill_wanted]
        rows = self._out.plus(found.flatten(1), rows)
        normed = self._before_mlp(rows)
        return self._down.plus(self._up.times(normed, self._gate.silu(normed)), rows)[None]


class _Projections(nn.Module):
    """Queries, keys and values next to each other, in one product where all three are plain weights."""

    def __init__(self, *linear: nn.Module) -> None:
        super().__init__()
        plain = [one.weight for one in linear if is_plain(one)]
        parts = [Product(torch.cat(plain))] if len(plain) == len(linear) else [*map(product_of, linear)]
        self._parts = nn.ModuleList(parts)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        found = [part(rows) for part in self._parts]
        return found[0] if len(found) == 1 else torch.cat(found, -1)


class Norm(nn.Module):
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
        none = torch.zeros_like(squares)
        divided = torch.batch_norm(flat[None], None, None, none, squares, False, 0.0, self._epsilon, False)[0]
        return divided.mul_(self.weight).view(rows.shape)


class _Turns(nn.Module):
    """Cosines and sines of transformers, the sines of each first half negated: half a head is turned back."""

    def __init__(self, rotary: nn.Module) -> None:
        super().__init__()
        self._rotary = rotary

    def forward(self, *given: Any, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
        cosine, sine = self._rotary(*given, **options)
        sine[..., : sine.shape[-1] // 2].neg_()
        return cosine, sine


def _turned(heads: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Rotary positions (arXiv 2104.09864); heads: [tokens, heads, size], the sines as `_Turns` has them."""
    halves_changed = heads.roll(heads.shape[-1] // 2, -1)
    return torch.addcmul(heads * cosine[0, :, None], halves_changed, sine[0, :, None])


def _is_usual(layer: Any) -> bool:
    """Norm, attention, norm, MLP with SiLU, no more, of linear layers without bias."""
    attention, mlp = layer.self_attn, layer.mlp
    expected = ((layer, _LAYER), (attention, set(_PROJECTIONS)), (mlp, {*_MLP, "act_fn"}))
    if any({name for name, _ in part.named_children()} != names for part, names in expected):
        return False
    linear = [getattr(attention, one) for one in _PROJECTIONS] + [getattr(mlp, one) for one in _MLP]
    is_silu = isinstance(mlp.act_fn, nn.SiLU | SiLUActivation)
    return is_silu and all(isinstance(one, nn.Linear | Adapted) and one.bias is None for one in linear)
