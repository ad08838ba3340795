"""The network in memory: 4-bit weights by bitsandbytes, and an adapter by peft beside or in them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from models.settings import Settings
from worker.fusing import fuse
from worker.weights import adapter_folder

ATTENTION = "notemill"
"""The name under which worker.transformers_runner registers its attention with transformers."""


def load_networks(folder: Path, settings: Settings, device: torch.device) -> Networks:
    """The weights of a prepared folder, with the adapter beside or in them, ready for inference.

    On a CPU the 4-bit values are held in bf16 and the adapter is merged into a copy of them: a prompt is
    read three to ten times faster for 0.5 GB of memory (docs/decisions). On a GPU they stay 4 bits wide.
    """
    options: dict[str, Any] = {"dtype": torch.bfloat16, "device_map": {"": device}}
    if settings.quantization == "nf4" and not _is_quantized(folder):
        options["quantization_config"] = nf4()
    network = AutoModelForCausalLM.from_pretrained(folder, **options).eval()
    is_on_cpu = device.type == "cpu"
    if is_on_cpu and getattr(network, "is_quantized", False):
        network = network.dequantize().to(torch.bfloat16)
    adapter = adapter_folder(settings)
    merged = None
    if adapter is not None:
        from peft import PeftModel

        if not is_on_cpu:
            return Networks(network, switch=PeftModel.from_pretrained(network, adapter).eval().base_model)
        merged = PeftModel.from_pretrained(copy.deepcopy(network), adapter).merge_and_unload().eval()
    for one in filter(None, (network, merged) if is_on_cpu else ()):
        fuse(one)
    return Networks(network, adapted=merged)


def nf4() -> BitsAndBytesConfig:
    """4-bit NormalFloat with double quantization (QLoRA, arXiv 2305.14314), bf16 arithmetic."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


class Networks:
    """One network, or two that share nothing, or one with an adapter that is switched on and off."""

    def __init__(self, plain: Any, *, adapted: Any = None, switch: Any = None) -> None:
        """`adapted`: with the adapter merged; `switch`: peft's model around `plain`, which has it on."""
        self.plain = plain
        self._adapted = adapted
        self._switch = switch
        self._is_on = True
        for network in filter(None, (plain, adapted)):
            network.config._attn_implementation = ATTENTION

    @property
    def has_adapter(self) -> bool:
        return self._adapted is not None or self._switch is not None

    def body(self, *, is_adapted: bool) -> Any:
        """The layers without the output layer, the adapter in effect or not."""
        if self._switch is not None and is_adapted != self._is_on:
            (self._switch.enable_adapter_layers if is_adapted else self._switch.disable_adapter_layers)()
            self._is_on = is_adapted
        return (self._adapted if is_adapted and self._adapted is not None else self.plain).model


def _is_quantized(folder: Path) -> bool:
    return "quantization_config" in json.loads((folder / "config.json").read_text("utf-8"))
