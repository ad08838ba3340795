"""Mistral's modules with random values, and a tokenizer for them.

Time and memory of a forward pass depend on shapes, not on values, so no weights are needed. Networks are made
on the device, layer by layer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import bitsandbytes
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer
from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

from models.settings import Settings
from worker.engine.network.model_loader import AdaptableNetwork, network_with_adapter
from worker.engine.prompting.tokenizer import load_tokenizer
from worker.weights.model_files import nf4_config

WeightForm = Literal["nf4", "nf4 adapter"]
"""`nf4 adapter`: with a bf16 LoRA adapter of rank 16 on all linear layers."""
RANK = 16
_DEVIATION = 0.02


def random_networks(config: Mapping[str, Any], form: WeightForm, device: torch.device) -> AdaptableNetwork:
    """Networks as worker.engine.network.model_loader makes them on CUDA, with random values."""
    with torch.device("meta"):
        network = MistralForCausalLM(MistralConfig(**config)).to(torch.bfloat16).eval()
    _materialise(network, device)
    if form == "nf4":
        return network_with_adapter(network)
    lora = LoraConfig(r=RANK, target_modules="all-linear", init_lora_weights=False)
    network_with_lora = get_peft_model(network, lora).eval()
    for name, parameter in network_with_lora.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.to(torch.bfloat16)
    return network_with_adapter(network, network_with_lora)


def short_tokenizer(settings: Settings, vocabulary: int) -> Any:
    """The settings' tokenizer reduced to its first `vocabulary` tokens; later merges are left out."""
    tokenizer = load_tokenizer(settings)
    if len(tokenizer) <= vocabulary:
        return tokenizer
    description = json.loads(tokenizer.backend_tokenizer.to_str())
    kept = {token: number for token, number in description["model"]["vocab"].items() if number < vocabulary}
    description["model"]["vocab"] = kept
    description["model"]["merges"] = [
        pair for pair in description["model"]["merges"] if {*pair, "".join(pair)} <= kept.keys()
    ]
    short = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(description)),
        bos_token=tokenizer.bos_token,
        eos_token=tokenizer.eos_token,
    )
    short.chat_template = tokenizer.chat_template
    return short


def _materialise(network: Any, device: torch.device) -> None:
    for name, module in list(network.named_modules()):
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            parent, _, own_name = name.rpartition(".")
            setattr(network.get_submodule(parent), own_name, _quantized(module, device))
        elif isinstance(module, torch.nn.Linear | torch.nn.Embedding):
            module.weight = _parameter(_random(*module.weight.shape, device=device))
        elif name.endswith("norm"):
            module.weight = _parameter(torch.ones(module.weight.shape, dtype=torch.bfloat16, device=device))
    # The rotary tables are not parameters: on the meta device their values are lost. They are fp32.
    network.model.rotary_emb = type(network.model.rotary_emb)(config=network.config).to(device)
    network.is_loaded_in_4bit = True  # peft selects its layers by this


def _quantized(linear: torch.nn.Linear, device: torch.device) -> Any:
    config = nf4_config()
    quantized = bitsandbytes.nn.Linear4bit(
        linear.in_features,
        linear.out_features,
        bias=False,
        compute_dtype=config.bnb_4bit_compute_dtype,
        device="meta",
    )
    quantized.weight = bitsandbytes.nn.Params4bit(
        _random(linear.out_features, linear.in_features, device=device),
        requires_grad=False,
        compress_statistics=config.bnb_4bit_use_double_quant,
        quant_type=config.bnb_4bit_quant_type,
        module=quantized,
    ).to(device)
    return quantized.eval()


def _random(*shape: int, device: torch.device) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.bfloat16, device=device) * _DEVIATION


def _parameter(values: torch.Tensor) -> torch.nn.Parameter:
    return torch.nn.Parameter(values, requires_grad=False)
