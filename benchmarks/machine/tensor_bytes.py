"""Measured bytes of tensors: quantized networks, Mistral 7B's modules, a traced forward pass."""

from __future__ import annotations

import ctypes
import gc
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import bitsandbytes
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from transformers import AutoModel, AutoModelForCausalLM, MistralConfig, MistralForCausalLM
from transformers.quantizers.auto import AutoHfQuantizer
from transformers.utils import logging as transformers_logging

from worker.weights.model_files import nf4_config


def stored_bytes(network: torch.nn.Module) -> int:
    """Bytes of all parameters, buffers and quantization states; each storage counts once."""
    seen = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in tensors_of(network)
    }
    return sum(seen.values())


def tensors_of(network: torch.nn.Module) -> Iterator[torch.Tensor]:
    """Every tensor that a loaded network holds."""
    yield from network.buffers()
    for parameter in network.parameters():
        yield parameter
        state = getattr(parameter, "quant_state", None)
        if state is not None:
            yield from (state.absmax, state.code, state.offset, state.state2.absmax, state.state2.code)


def mistral_part_bytes(config: Mapping[str, Any]) -> dict[str, int]:
    """Bytes by kind of module, on the meta device, with the linear layers replaced as on loading.

    One matrix of each size is really quantized; its bytes count for all matrices of the size.
    """
    with torch.device("meta"):
        network = MistralForCausalLM(MistralConfig(**config)).to(torch.bfloat16)
    AutoHfQuantizer.from_config(nf4_config()).preprocess_model(model=network, device_map=None)
    sizes: Counter[str] = Counter()
    for name, module in network.named_modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            sizes["linear layers"] += quantized_matrix_bytes(module.in_features, module.out_features)
        else:
            kind = {"model.embed_tokens": "embeddings", "lm_head": "output layer"}.get(name, "norms")
            sizes[kind] += sum(
                values.numel() * values.element_size() for values in module.parameters(recurse=False)
            )
    return dict(sizes)


@cache
def quantized_matrix_bytes(inputs: int, outputs: int) -> int:
    """Bytes of one matrix, quantized by bitsandbytes with the worker's configuration."""
    config = nf4_config()
    weight = bitsandbytes.nn.Params4bit(
        torch.randn(outputs, inputs, dtype=torch.bfloat16),
        requires_grad=False,
        compress_statistics=config.bnb_4bit_use_double_quant,
        quant_type=config.bnb_4bit_quant_type,
    ).to("cpu")
    holder = torch.nn.Module()
    holder.weight = weight
    return stored_bytes(holder)


def loaded_bytes(config: Mapping[str, Any], *, rank: int = 0) -> tuple[int, int]:
    """Bytes of a network's tensors, and by how many the process grows.

    The network is saved in bf16 and loaded with `worker.weights.model_files.nf4_config()` on the CPU. `rank`:
    adds a LoRA adapter.
    """
    transformers_logging.disable_progress_bar()
    with tempfile.TemporaryDirectory(prefix="notemill-memory-") as folder:
        plain, adapter = Path(folder) / "plain", Path(folder) / "adapter"
        MistralForCausalLM(MistralConfig(**config)).to(torch.bfloat16).save_pretrained(plain)
        if rank:
            network = AutoModelForCausalLM.from_pretrained(plain, dtype=torch.bfloat16)
            lora = LoraConfig(r=rank, target_modules="all-linear", init_lora_weights=False)
            get_peft_model(network, lora).save_pretrained(adapter)
            del network
        _trim_memory()
        before = resident_bytes()
        loaded = AutoModelForCausalLM.from_pretrained(
            plain, dtype=torch.bfloat16, quantization_config=nf4_config()
        )
        if rank:
            loaded = PeftModel.from_pretrained(loaded, adapter, autocast_adapter_dtype=False)
        _trim_memory()
        return stored_bytes(loaded), resident_bytes() - before


def traced_step_bytes(config: Mapping[str, Any], *, step_tokens: int, layers: int = 2) -> int:
    """Peak bytes of a transformers forward pass without its weights, traced on tensors without contents."""
    with FakeTensorMode():
        body_config = MistralConfig(**{**config, "num_hidden_layers": layers})
        body = AutoModel.from_config(body_config, dtype=torch.bfloat16).eval()
        tracker = MemTracker()
        tracker.track_external(body)
        with torch.no_grad(), tracker:
            body(input_ids=torch.zeros(1, step_tokens, dtype=torch.long), use_cache=False)
        [peak] = tracker.get_tracker_snapshot("peak").values()
    held = {getattr(kind, "name", str(kind)): size for kind, size in peak.items()}
    return int(held["Total"] - held["PARAM"] - held["BUFFER"])


def resident_bytes() -> int:
    """Resident memory of this process without mapped files; Linux only."""
    status = Path("/proc/self/status").read_text("ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon:"))


def _trim_memory() -> None:
    """Returns freed memory to the operating system, if glibc can."""
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
