"""Loads the network: 4-bit weights by bitsandbytes, and a peft adapter beside or merged into them."""

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
"""An invented note, equal to examples/notes/progress.txt, which an installed worker does not have.
SmoothQuant measures the inputs of layers on it."""
ATTENTION = "notemill"
"""Name under which `worker.engine.network.model_runner` registers its attention with transformers."""


def load_network(folder: Path, settings: Settings, device: torch.device) -> AdaptableNetwork:
    """Loads the weights of a prepared folder, with the adapter beside or merged into them, for inference.

    On a CPU the 4-bit weights are expanded to bf16, and a copy with the adapter merged is int8: prefill is
    four to ten times faster for 0.4 GB of memory (docs/decisions). On a GPU the weights stay 4-bit.
    """
    if device.type == "cpu":
        return _on_cpu(folder, settings)
    network = _read(folder, settings, device)
    adapter = adapter_folder(settings)
    if adapter is None:
        return network_with_adapter(network)
    from peft import PeftModel

    # The adapter is bf16 too: peft's default of fp32 also converts each layer's input, and takes twice the
    # time.
    return network_with_adapter(
        network, PeftModel.from_pretrained(network, adapter, autocast_adapter_dtype=False).eval()
    )


def network_with_adapter(network: Any, peft_model: Any = None) -> AdaptableNetwork:
    """The network as on a GPU, with the adapter beside the weights. `peft_model`: peft's wrapper of the
    network."""
    switch = None
    if peft_model is not None:
        from worker.engine.network.lora import replace_lora_layers

        switch = replace_lora_layers(peft_model) or peft_model.base_model
    fuse_layers(network)
    return AdaptableNetwork(network, switch=switch)


def _on_cpu(folder: Path, settings: Settings) -> AdaptableNetwork:
    """Weights in the form of the computation: expanded and merged at the first start, afterwards read from
    disk."""
    ready = ready_folder(settings)
    if ready is None:
        network = _read(folder, settings, torch.device("cpu"))
        fuse_layers(network)
        return AdaptableNetwork(network)
    if not ready.is_dir():
        # Prepared in a scratch folder and renamed: two workers may prepare at once, and one may be killed.
        ready.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=ready.parent, prefix=".preparing-") as scratch:
            _prepare(folder, settings, Path(scratch) / "ready")
            with suppress(OSError):
                (Path(scratch) / "ready").rename(ready)
    networks = {
        name: load_checkpoint(AutoModelForCausalLM, ready / name, torch.bfloat16)
        for name in (PLAIN, MERGED)
        if (ready / name).is_dir()
    }
    for name, network in networks.items():
        fuse_layers(network, is_int8=name == MERGED and is_int8(settings))
    return AdaptableNetwork(networks[PLAIN], merged=networks.get(MERGED))


def _prepare(folder: Path, settings: Settings, target: Path) -> None:
    network = _read(folder, settings, torch.device("cpu"))
    if getattr(network, "is_quantized", False):
        network = network.dequantize().to(torch.bfloat16)
        if hasattr(network.config, "quantization_config"):
            del network.config.quantization_config
        network.hf_quantizer = None
    # The weights are plain bf16 from here on and cannot be saved in their original 4-bit format.
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
    """A network with and without its adapter: two separate networks, or one whose adapter is switched on and
    off."""

    def __init__(self, plain: Any, *, merged: Any = None, switch: Any = None) -> None:
        """`merged`: the network with the adapter merged; `switch`: of an adapter beside `plain`, initially
        on."""
        self.plain = plain
        self._merged = merged
        self._switch = switch
        self._is_adapter_on = True
        for network in filter(None, (plain, merged)):
            network.config._attn_implementation = ATTENTION

    @property
    def has_adapter(self) -> bool:
        return self._merged is not None or self._switch is not None

    def body(self, *, uses_adapter: bool) -> Any:
        """The layers without the output layer, with the adapter on or off."""
        if self._switch is not None and uses_adapter != self._is_adapter_on:
            (self._switch.enable_adapter_layers if uses_adapter else self._switch.disable_adapter_layers)()
            self._is_adapter_on = uses_adapter
        return (self._merged if uses_adapter and self._merged is not None else self.plain).model


def _is_quantized(folder: Path) -> bool:
    return "quantization_config" in json.loads((folder / "config.json").read_text("utf-8"))
