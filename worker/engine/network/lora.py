"""LoRA adapter beside unchanged weights (arXiv 2106.09685), in fewer passes over memory than peft's layers.

peft loads the adapter. Its layers copy the output of the linear layer, multiply, scale and add, each a pass
over all outputs. Here one product computes and adds the output of the adapter.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class AdapterSwitch:
    """Turns the adapter of all layers on and off; methods are named as in peft's models."""

    def __init__(self) -> None:
        self.is_on = True

    def enable_adapter_layers(self) -> None:
        """Turns the adapter on."""
        self.is_on = True

    def disable_adapter_layers(self) -> None:
        """Turns the adapter off."""
        self.is_on = False


class LoraLinear(nn.Module):
    """A linear layer, with its adapter while the switch is on."""

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
        output: torch.Tensor = self._linear(rows)
        return output.addmm_(rows @ self._inward.T, self._outward.T) if self._switch.is_on else output


def replace_lora_layers(peft_model: Any) -> AdapterSwitch | None:
    """Replaces the layers of a peft model by LoraLinear in place and returns their switch.

    Returns None and changes nothing if any layer is more than plain LoRA.
    """
    from peft.tuners.lora import LoraLayer

    body = peft_model.base_model.model
    layers = {name: module for name, module in body.named_modules() if isinstance(module, LoraLayer)}
    if not all(_is_plain_lora(module) for module in layers.values()):
        return None
    switch = AdapterSwitch()
    for name, layer in layers.items():
        [adapter] = layer.active_adapters
        inward, outward = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
        lora_linear = LoraLinear(layer.base_layer, inward.data, outward.data * layer.scaling[adapter], switch)
        body.set_submodule(name, lora_linear)
    return switch


def _is_plain_lora(layer: Any) -> bool:
    """True for one adapter, not merged, that adds a product of two matrices to a linear layer."""
    adapters = layer.active_adapters
    return (
        isinstance(layer.base_layer, nn.Linear)
        and len(adapters) == 1
        and not (layer.merged or layer.lora_variant)
        and all(adapters[0] in matrices for matrices in (layer.lora_A, layer.lora_B))
        and layer.lora_B[adapters[0]].bias is None
    )
