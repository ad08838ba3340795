"""Fused layers of Llama and Mistral networks: the same arithmetic as transformers' modules in fewer
operations.

On a CPU projections of the same input are one product, weights are packed for the processor, and what follows
a product happens before its result is rounded and stored. On a GPU half as many kernels are launched.
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


def fuse_layers(network: Any, *, is_int8: bool = False) -> None:
    """Replaces the layers in place if `can_fuse`; otherwise leaves the network as it is.

    `is_int8`: computes the products of plain weights on a CPU in int8 (`worker.engine.network.int8_layers`).
    """
    body = network.model
    if can_fuse(network):
        body.rotary_emb = _RotaryEmbedding(body.rotary_emb)
        body.norm = RmsNorm(body.norm)
        num_layers = len(body.layers)
        body.layers = nn.ModuleList(
            FusedLayer(
                layer,
                _layer_blocks(layer, is_int8=is_int8, is_outer=is_outer_layer(number, num_layers)),
                is_last=number == num_layers - 1,
            )
            for number, layer in enumerate(body.layers)
        )


def can_fuse(network: Any) -> bool:
    """True if all layers consist of the modules that fused layers support."""
    return all(_is_standard(layer) for layer in network.model.layers)


def _layer_blocks(layer: Any, *, is_int8: bool, is_outer: bool) -> LayerBlocks:
    return int8_layers.int8_blocks(layer, is_outer=is_outer) if is_int8 else LayerBlocks.of(layer)


class FusedLayer(nn.Module):
    """Attention and MLP with their residual connections; attention itself is a function passed to
    `forward`."""

    def __init__(self, layer: Any, blocks: LayerBlocks, *, is_last: bool) -> None:
        """`blocks`: made of the weights of `layer`."""
        super().__init__()
        self._is_last = is_last
        attention = layer.self_attn
        self._number: int = attention.layer_idx
        self._size: int = attention.head_dim
        self._heads: int = attention.q_proj.out_features // self._size
        self._key_heads: int = attention.k_proj.out_features // self._size
        self._projections, self._out, self._mlp = blocks

    def forward(
        self,
        hidden_states: torch.Tensor,
        *,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        notemill_attend: Any,
        notemill_wanted: torch.Tensor | None = None,
        **_options: Any,
    ) -> torch.Tensor:
        """hidden_states: [1, tokens, hidden size]; returns the same shape, the last layer only for the wanted
        tokens if `notemill_wanted` is set."""
        rows = hidden_states[0]
        projected = self._projections(rows).view(len(rows), -1, self._size)
        rotated = _rotated(projected[:, : self._heads + self._key_heads], *position_embeddings)
        query, key = rotated[:, : self._heads], rotated[:, self._heads :]
        value = projected[:, self._heads + self._key_heads :]
        attended = notemill_attend(self._number, query, key, value)
        if self._is_last and notemill_wanted is not None:
            rows, attended = rows[notemill_wanted], attended[notemill_wanted]
        output: torch.Tensor = self._mlp(self._out(attended.flatten(1), rows))[None]
        return output


class _RotaryEmbedding(nn.Module):
    """transformers' rotary embedding with the sines of the first half negated, as `_rotated` needs them."""

    def __init__(self, rotary: nn.Module) -> None:
        super().__init__()
        self._rotary = rotary

    def forward(self, *inputs: Any, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
        cosine, sine = self._rotary(*inputs, **options)
        sine[..., : sine.shape[-1] // 2].neg_()
        return cosine, sine


def _rotated(heads: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Applies rotary position embeddings (arXiv 2104.09864) to heads: [tokens, heads, size].

    The sines are those of `_RotaryEmbedding`.
    """
    swapped = heads.roll(heads.shape[-1] // 2, -1)
    return torch.addcmul(heads * cosine[0, :, None], swapped, sine[0, :, None])


def _is_standard(layer: Any) -> bool:
    """True for norm, attention, norm and MLP with SiLU, made of linear layers without bias."""
    attention, mlp = layer.self_attn, layer.mlp
    expected_children = ((layer, _LAYER), (attention, set(_PROJECTIONS)), (mlp, {*_MLP, "act_fn"}))
    if any({name for name, _ in module.named_children()} != names for module, names in expected_children):
        return False
    linear_layers = [getattr(attention, name) for name in _PROJECTIONS] + [
        getattr(mlp, name) for name in _MLP
    ]
    is_silu = isinstance(mlp.act_fn, nn.SiLU | SiLUActivation)
    return is_silu and all(
        isinstance(layer, nn.Linear | LoraLinear) and layer.bias is None for layer in linear_layers
    )
