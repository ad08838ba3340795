"""Merges an adapter into its weights and writes a plain model for other servers.

The adapter is merged into the 4-bit values expanded to bf16, for it was trained with these values.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from models.errors import UsageError
from models.security.training_provenance import read_trained_on, write_trained_on
from training.finetune.gguf_files import FileType, write_gguf
from training.finetune.lora_model import frozen_in_bf16, quiet_libraries


def merge(
    weights: Path, adapter: Path, output: Path, say: Callable[[str], None], gguf: FileType | None = None
) -> None:
    """Writes a folder in transformers' format, bf16 safetensors and tokenizer; on an error, nothing.

    `gguf`: also writes a file of this type for llama.cpp. Raises UsageError if `adapter` is no adapter or
    `output` exists.
    """
    if not (adapter / "adapter_config.json").is_file():
        raise UsageError(f"{adapter} holds no adapter_config.json: name the folder of `train finetune`")
    if output.exists():
        raise UsageError(f"{output} exists: take another --output")
    quiet_libraries()
    say("reading the weights …")
    network = frozen_in_bf16(weights, torch.device("cpu"))
    say("merging …")
    merged = PeftModel.from_pretrained(network, adapter).merge_and_unload()
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".merging-") as scratch:
        target = Path(scratch) / "merged"
        merged.save_pretrained(target, save_original_format=False)
        AutoTokenizer.from_pretrained(weights).save_pretrained(target)
        AutoModelForCausalLM.from_pretrained(
            target, dtype=torch.bfloat16, use_safetensors=True
        )  # checks that the folder can be loaded
        if gguf is not None:
            say(f"writing GGUF, {gguf} …")
            write_gguf(target, target / f"{output.name}-{gguf}.gguf", gguf)
        write_trained_on(target, read_trained_on(weights) | read_trained_on(adapter))
        target.rename(output)
