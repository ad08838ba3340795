"""Mistral's modules with random values, and a tokenizer that fits them.

There are no weights here; what a step takes in time and memory hangs on sizes, not on values. Networks are
made on the device a layer at a time.
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
"""`adapter`: rank 16 on all linear layers, in bf16."""
RANK = 16
_DEVIATION = 0.02


def random_networks(config: Mapping[str, Any], form: WeightForm, device: torch.device) -> AdaptableNetwork:
    """As worker.engine.network.model_loader has them on CUDA, values at random."""
    with torch.device("meta"):
        network = MistralForCausalLM(MistralConfig(**config)).to(torch.bfloat16).eval()
    _materialise(network, device)
    if form == "nf4":
        return network_with_adapter(network)
    lora = LoraConfig(r=RANK, target_modules="all-linear", init_lora_weights=False)
    around = get_peft_model(network, lora).eval()
    for name, parameter in around.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.to(torch.bfloat16)
    return network_with_adapter(network, around)


def short_tokenizer(settings: Settings, vocabulary: int) -> Any:
    """The effective weights' tokenizer with its first so many tokens: what is merged last is left out."""
    tokenizer = load_tokenizer(settings)
    if len(tokenizer) <= vocabulary:
        return tokenizer
    told = json.loads(tokenizer.backend_tokenizer.to_str())
    kept = {token: number for token, number in told["model"]["vocab"].items() if number < vocabulary}
    told["model"]["vocab"] = kept
    told["model"]["merges"] = [
        pair for pair in told["model"]["merges"] if {*pair, "".join(pair)} <= kept.keys()
    ]
    short = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(told)),
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
    # Its tables are no parameters and were made on the meta device, where numbers are lost; they are fp32.
    network.model.rotary_emb = type(network.model.rotary_emb)(config=network.config).to(device)
    network.is_loaded_in_4bit = True  # by which peft chooses its layers


def _quantized(linear: torch.nn.Linear, device: torch.device) -> Any:
    config = nf4_config()
    found = bitsandbytes.nn.Linear4bit(
        linear.in_features,
        linear.out_features,
        bias=False,
        compute_dtype=config.bnb_4bit_compute_dtype,
        device="meta",
    )
    found.weight = bitsandbytes.nn.Params4bit(
        _random(linear.out_features, linear.in_features, device=device),
        requires_grad=False,
        compress_statistics=config.bnb_4bit_use_double_quant,
        quant_type=config.bnb_4bit_quant_type,
        module=found,
    ).to(device)
    return found.eval()


def _random(*shape: int, device: torch.device) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.bfloat16, device=device) * _DEVIATION


def _parameter(values: torch.Tensor) -> torch.nn.Parameter:
    return torch.nn.Parameter(values, requires_grad=False)
