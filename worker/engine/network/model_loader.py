"""The network in memory: 4-bit weights by bitsandbytes, and an adapter by peft beside or in them."""

from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from models.settings import Settings
from worker.engine.network.checkpoint_reader import load_checkpoint
from worker.engine.network.fused_layers import can_fuse, fuse_layers
from worker.engine.network.smoothquant import smooth_activations
from worker.engine.prompting.tokenizer import load_tokenizer
from worker.weights.model_files import adapter_folder, is_int8, nf4_config, ready_folder

PLAIN, MERGED = "plain", "adapted"
CALIBRATION_NOTE = Path(__file__).with_name("calibration_note.txt")
"""Invented: that of examples/notes/progress.txt, which an installed worker has not. On it is seen how large
inputs of layers become."""
ATTENTION = "notemill"
"""The name under which worker.engine.network.model_runner registers its attention with transformers."""


def load_network(folder: Path, settings: Settings, device: torch.device) -> AdaptableNetwork:
    """The weights of a prepared folder, with the adapter beside or in them, ready for inference.

    On a CPU the 4-bit values are held in bf16, and a copy with the adapter merged in 8 bits: a prompt is read
    four to ten times faster for 0.4 GB of memory (docs/decisions). On a GPU they stay 4 bits wide.
    """
    if device.type == "cpu":
        return _on_cpu(folder, settings)
    network = _read(folder, settings, device)
    adapter = adapter_folder(settings)
    if adapter is None:
        return network_with_adapter(network)
    from peft import PeftModel

    # In bf16 as the rest: peft's default of fp32 widens each layer's input as well, and takes twice the time.
    return network_with_adapter(
        network, PeftModel.from_pretrained(network, adapter, autocast_adapter_dtype=False).eval()
    )


def network_with_adapter(network: Any, adapted: Any = None) -> AdaptableNetwork:
    """As a GPU has them: the adapter beside the weights. `adapted`: peft's model around the network."""
    switch = None
    if adapted is not None:
        from worker.engine.network.lora import replace_lora_layers

        switch = replace_lora_layers(adapted) or adapted.base_model
    fuse_layers(network)
    return AdaptableNetwork(network, switch=switch)


def _on_cpu(folder: Path, settings: Settings) -> AdaptableNetwork:
    """As they are computed with: expanded and merged at the first start, then read from the disk."""
    ready = ready_folder(settings)
    if ready is None:
        network = _read(folder, settings, torch.device("cpu"))
        fuse_layers(network)
        return AdaptableNetwork(network)
    if not ready.is_dir():
        # Made beside its place and renamed: two workers may do so at once, and one may be killed.
        ready.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=ready.parent, prefix=".preparing-") as scratch:
            _make_ready(folder, settings, Path(scratch) / "ready")
            with suppress(OSError):
                (Path(scratch) / "ready").rename(ready)
    found = {
        name: load_checkpoint(AutoModelForCausalLM, ready / name, torch.bfloat16)
        for name in (PLAIN, MERGED)
        if (ready / name).is_dir()
    }
    for name, network in found.items():
        fuse_layers(network, is_int8=name == MERGED and is_int8(settings))
    return AdaptableNetwork(found[PLAIN], adapted=found.get(MERGED))


def _make_ready(folder: Path, settings: Settings, target: Path) -> None:
    network = _read(folder, settings, torch.device("cpu"))
    if getattr(network, "is_quantized", False):
        network = network.dequantize().to(torch.bfloat16)
        if hasattr(network.config, "quantization_config"):
            del network.config.quantization_config
        network.hf_quantizer = None
    # The 4-bit form that was read has no way back: what is saved is plain bf16.
    network.save_pretrained(target / PLAIN, save_original_format=False)
    adapter = adapter_folder(settings)
    if adapter is not None:
        from peft import PeftModel

        merged = PeftModel.from_pretrained(network, adapter).merge_and_unload()
        if is_int8(settings) and can_fuse(merged):
            smooth_activations(
                merged,
                load_tokenizer(settings)(CALIBRATION_NOTE.read_text("utf-8"), return_tensors="pt").input_ids,
            )
        merged.save_pretrained(target / MERGED, save_original_format=False)


def _read(folder: Path, settings: Settings, device: torch.device) -> Any:
    options: dict[str, Any] = {"dtype": torch.bfloat16, "device_map": {"": device}}
    if settings.quantization == "nf4" and not _is_quantized(folder):
        options["quantization_config"] = nf4_config()
    return AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True, **options).eval()


class AdaptableNetwork:
    """One network, or two that share nothing, or one with an adapter that is switched on and off."""

    def __init__(self, plain: Any, *, adapted: Any = None, switch: Any = None) -> None:
        """`adapted`: with the adapter merged; `switch`: of the one beside `plain`, which is on."""
        self.plain = plain
        self._adapted = adapted
        self._switch = switch
        self._is_on = True
        for network in filter(None, (plain, adapted)):
            network.config._attn_implementation = ATTENTION

    @property
    def has_adapter(self) -> bool:
        return self._adapted is not None or self._switch is not None

    def body(self, *, uses_adapter: bool) -> Any:
        """The layers without the output layer, the adapter in effect or not."""
        if self._switch is not None and uses_adapter != self._is_on:
            (self._switch.enable_adapter_layers if uses_adapter else self._switch.disable_adapter_layers)()
            self._is_on = uses_adapter
        return (self._adapted if uses_adapter and self._adapted is not None else self.plain).model


def _is_quantized(folder: Path) -> bool:
    return "quantization_config" in json.loads((folder / "config.json").read_text("utf-8"))
