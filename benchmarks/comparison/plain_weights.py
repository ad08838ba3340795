"""Saves the weights that notemill serves as folders that the peers can load.

One folder holds the 4-bit weights expanded to bf16, another the same with the adapter merged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from models.settings import Settings
from worker.weights.model_files import adapter_folder, prepared_folder


def save_plain(settings: Settings, target: Path) -> Path:
    """Saves the served weights without the adapter, in bf16, with their tokenizer; returns the folder."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = prepared_folder(settings)
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    if getattr(network, "is_quantized", False):
        network = network.dequantize().to(torch.bfloat16)
    return _save(network, AutoTokenizer.from_pretrained(folder), target)


def save_merged(settings: Settings, plain: Path, target: Path) -> Path:
    """Saves the same with the adapter merged, as a CPU serves it. Raises ValueError without an adapter."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    adapter = adapter_folder(settings)
    if adapter is None:
        raise ValueError("no adapter is set; set NOTEMILL_ADAPTER")
    network = AutoModelForCausalLM.from_pretrained(plain, dtype=torch.bfloat16)
    merged = PeftModel.from_pretrained(network, adapter).merge_and_unload()
    return _save(merged, AutoTokenizer.from_pretrained(plain), target)


def _save(network: Any, tokenizer: Any, target: Path) -> Path:
    if hasattr(network.config, "quantization_config"):
        del network.config.quantization_config
    network.hf_quantizer = None
    # The loaded 4-bit format cannot be restored; plain bf16 is saved.
    network.save_pretrained(target, save_original_format=False)
    tokenizer.save_pretrained(target)
    return target
