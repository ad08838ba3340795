"""Layers of a Llama or Mistral network in fewer, larger steps.

The same arithmetic as transformers' own modules. On a CPU projections that share an input are joined, weights
laid out for the processor, and what follows a product is done on its numbers before they are rounded and
written; on a GPU half as many kernels are launched.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers.activations import SiLUActivation

from worker.engine.memory.footprint import is_outer_layer
from worker.engine.network import int8_layers
from worker.engine.network.layer_blocks import LayerBlocks, RmsNorm
from worker.engine.network.lora import LoraLinear

_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")
_MLP = ("gate_proj", "up_proj", "down_proj")
_LAYER = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}


def fuse_layers(network: Any, *, in_eight_bits: bool = False) -> None:
    """Replaces the layers, in place, where all are made of what ours compute; else none.

    `in_eight_bits`: of plain weights on a CPU, their products (`worker.engine.network.int8_layers`).
    """
    body = network.model
    if can_fuse(network):
        body.rotary_emb = _RotaryEmbedding(body.rotary_emb)
        body.norm = RmsNorm(body.norm)
        num_layers = len(body.layers)
        body.layers = nn.ModuleList(
            FusedLayer(
                layer,
                _parts(layer, in_eight_bits=in_eight_bits, is_outer=is_outer_layer(number, num_layers)),
                is_last=number == num_layers - 1,
            )
            for number, layer in enumerate(body.layers)
        )


def can_fuse(network: Any) -> bool:
    """Whether all layers are made of what ours compute."""
    return all(_is_usual(layer) for layer in network.model.layers)


def _parts(layer: Any, *, in_eight_bits: bool, is_outer: bool) -> LayerBlocks:
    return int8_layers.int8_blocks(layer, is_outer=is_outer) if in_eight_bits else LayerBlocks.of(layer)


class FusedLayer(nn.Module):
    """Attention and MLP, each added to what came in; attention is handed down."""

    def __init__(self, layer: Any, parts: LayerBlocks, *, is_last: bool) -> None:
        """`parts`: of the layer's weights."""
        super().__init__()
        self._is_last = is_last
        attention = layer.self_attn
        self._number: int = attention.layer_idx
        self._size: int = attention.head_dim
        self._heads: int = attention.q_proj.out_features // self._size
        self._key_heads: int = attention.k_proj.out_features // self._size
        self._projections, self._out, self._mlp = parts

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
        together = self._projections(rows).view(len(rows), -1, self._size)
        turned = _turned(together[:, : self._heads + self._key_heads], *position_embeddings)
        query, key = turned[:, : self._heads], turned[:, self._heads :]
        value = together[:, self._heads + self._key_heads :]
        found = notemill_attend(self._number, query, key, value)
        if self._is_last and notemill_wanted is not None:
            rows, found = rows[notemill_wanted], found[notemill_wanted]
        whole: torch.Tensor = self._mlp(self._out(found.flatten(1), rows))[None]
        return whole


class _RotaryEmbedding(nn.Module):
    """Cosines and sines of transformers, the sines of each first half negated: half a head is turned back."""

    def __init__(self, rotary: nn.Module) -> None:
        super().__init__()
        self._rotary = rotary

    def forward(self, *given: Any, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
        cosine, sine = self._rotary(*given, **options)
        sine[..., : sine.shape[-1] // 2].neg_()
        return cosine, sine


def _turned(heads: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Rotary positions (arXiv 2104.09864); heads: [tokens, heads, size], the sines as `_RotaryEmbedding` has
    them."""
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
    return is_silu and all(isinstance(one, nn.Linear | LoraLinear) and one.bias is None for one in linear)
