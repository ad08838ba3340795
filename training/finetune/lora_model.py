"""The model to train: frozen weights in the recipe's format, and LoRA on every linear layer."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

from training.finetune import document_attention
from training.finetune.training_recipe import RecipeError, TrainingRecipe
from worker.weights.model_files import nf4_config


def trainable(folder: Path, recipe: TrainingRecipe, device: torch.device, start: Path | None = None) -> Any:
    """The frozen weights with a trainable LoRA adapter. Raises RecipeError.

    `start`: an adapter to continue from, with its own rank but the recipe's dropout.
    """
    torch.manual_seed(recipe.seed)
    quiet_libraries()
    network = _frozen(folder, recipe, device)
    network.requires_grad_(False)
    if recipe.has_gradient_checkpointing:
        # peft's own preparation would also convert embeddings and output layer to fp32: 0.5 GB of 8.
        network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        network.enable_input_require_grads()
    if start is not None:
        started = PeftConfig.from_pretrained(start)
        started.lora_dropout = recipe.dropout
        return PeftModel.from_pretrained(network, start, is_trainable=True, config=started).train()
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(network, config).train()


def quiet_libraries() -> None:
    """Silences messages of the libraries, which would hide the progress of a run."""
    disable_progress_bar()
    set_verbosity_error()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")


def save_adapter(network: Any, folder: Path) -> None:
    """Saves the adapter in peft's format. Embeddings are never trained; peft's check for them would access
    the hub."""
    network.save_pretrained(folder, save_embedding_layers=False)


def optimizer_of(network: Any, recipe: TrainingRecipe) -> tuple[torch.optim.Optimizer, str]:
    """The optimizer and its name: paged 8-bit AdamW on CUDA, otherwise AdamW."""
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    options: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "paged_adamw_8bit" and weights[0].device.type == "cuda":
        import bitsandbytes

        return bitsandbytes.optim.PagedAdamW8bit(weights, **options), "paged_adamw_8bit"
    return torch.optim.AdamW(weights, **options), "adamw"


def frozen_in_bf16(folder: Path, device: torch.device) -> Any:
    """The model with the values of its 4-bit weights expanded to bf16."""
    network = _frozen(folder, TrainingRecipe(frozen="nf4_in_bf16"), device)
    if hasattr(network.config, "quantization_config"):
        del network.config.quantization_config
    network.hf_quantizer = None
    return network


def _frozen(folder: Path, recipe: TrainingRecipe, device: torch.device) -> Any:
    is_quantized = "quantization_config" in json.loads((folder / "config.json").read_text("utf-8"))
    if recipe.frozen == "bf16" and is_quantized:
        raise RecipeError(f"{folder} holds 4-bit weights, the recipe wants bf16: take nf4 or nf4_in_bf16")
    options: dict[str, Any] = (
        {} if is_quantized or recipe.frozen == "bf16" else {"quantization_config": nf4_config()}
    )
    network = AutoModelForCausalLM.from_pretrained(
        folder,
        use_safetensors=True,
        dtype=torch.bfloat16,
        device_map={"": device},
        attn_implementation=document_attention.NAME,
        **options,
    )
    return network.dequantize().to(torch.bfloat16) if recipe.frozen == "nf4_in_bf16" else network
