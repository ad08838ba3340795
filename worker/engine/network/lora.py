"""A LoRA adapter beside weights that stay as they are (arXiv 2106.09685), in fewer passes than peft's layers.

peft reads the adapter; its layers then copy what the linear layer found, multiply, scale and add, each a pass
over all outputs. Here what the adapter finds is added by the product that finds it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class AdapterSwitch:
    """Of one adapter, all layers together; verbs as of peft's models."""

    def __init__(self) -> None:
        self.is_on = True

    def enable_adapter_layers(self) -> None:
        """The adapter takes part."""
        self.is_on = True

    def disable_adapter_layers(self) -> None:
        """It does not."""
        self.is_on = False


class LoraLinear(nn.Module):
    """A linear layer, and where the switch is on, its adapter."""

    def __init__(
        self, linear: nn.Linear, inward: torch.Tensor, outward: torch.Tensor, switch: AdapterSwitch
    ) -> None:
        """inward: [rank, inputs]; outward: [outputs, rank], scaled."""
        super().__init__()
        self.out_features, self.bias = linear.out_features, linear.bias
        self._linear = linear
        self._inward = nn.Parameter(inward, requires_grad=False)
        self._outward = nn.Parameter(outward, requires_grad=False)
        self._switch = switch

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """rows: [number, inputs]; returns [number, outputs]."""
        found: torch.Tensor = self._linear(rows)
        return found.addmm_(rows @ self._inward.T, self._outward.T) if self._switch.is_on else found


def replace_lora_layers(adapted: Any) -> AdapterSwitch | None:
    """Puts ours in the places of a peft model's layers, if plain LoRA is all that they are; else nothing is
    done, and there is no switch."""
    from peft.tuners.lora import LoraLayer

    body = adapted.base_model.model
    layers = {name: one for name, one in body.named_modules() if isinstance(one, LoraLayer)}
    if not all(_is_plain_lora(one) for one in layers.values()):
        return None
    switch = AdapterSwitch()
    for name, layer in layers.items():
        [adapter] = layer.active_adapters
        inward, outward = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
        own = LoraLinear(layer.base_layer, inward.data, outward.data * layer.scaling[adapter], switch)
        body.set_submodule(name, own)
    return switch


def _is_plain_lora(layer: Any) -> bool:
    """One adapter, not merged, that adds a product of two matrices to a linear layer."""
    adapters = layer.active_adapters
    return (
        isinstance(layer.base_layer, nn.Linear)
        and len(adapters) == 1
        and not (layer.merged or layer.lora_variant)
        and all(adapters[0] in some for some in (layer.lora_A, layer.lora_B))
        and layer.lora_B[adapters[0]].bias is None
    )
