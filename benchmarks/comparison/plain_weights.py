"""The very values that our engine computes with, as folders and files that the peers can load.

One bf16 folder for transformers (the 4-bit weights, expanded), and the same with the adapter merged.
Made once a run, in a temporary folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from models.settings import Settings
from worker.weights.model_files import adapter_folder, prepared_folder


def save_plain(settings: Settings, target: Path) -> Path:
    """The served weights without the adapter, in bf16, with their tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = prepared_folder(settings)
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    if getattr(network, "is_quantized", False):
        network = network.dequantize().to(torch.bfloat16)
    return _save(network, AutoTokenizer.from_pretrained(folder), target)


def save_merged(settings: Settings, plain: Path, target: Path) -> Path:
    """The same with the adapter merged, as a CPU serves it. Raises ValueError where there is no adapter."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    adapter = adapter_folder(settings)
    if adapter is None:
        raise ValueError("no adapter is set: NOTEMILL_ADAPTER names one")
    network = AutoModelForCausalLM.from_pretrained(plain, dtype=torch.bfloat16)
    merged = PeftModel.from_pretrained(network, adapter).merge_and_unload()
    return _save(merged, AutoTokenizer.from_pretrained(plain), target)


def _save(network: Any, tokenizer: Any, target: Path) -> Path:
    if hasattr(network.config, "quantization_config"):
        del network.config.quantization_config
    network.hf_quantizer = None
    # The 4-bit form that was read has no way back; what is saved is plain bf16.
    network.save_pretrained(target, save_original_format=False)
    tokenizer.save_pretrained(target)
    return target
