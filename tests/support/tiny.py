"""Tiny random weights: a Mistral of two layers, and an adapter for it."""

from __future__ import annotations

import json
from pathlib import Path

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}[INST] {{ message['content'] }}[/INST]{% endfor %}"
)
"""The chat template of Mistral 7B Instruct v0.3, without tools and system turns."""
SPECIAL = ["<s>", "</s>", "[INST]", "[/INST]", "<pad>"]


def write_tiny_weights(folder: Path, *, seed: int = 0) -> Path:
    """Writes a folder as transformers saves it: bf16 weights and a byte-level tokenizer of 600 tokens."""
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(seed)
    tokenizer = _tokenizer()
    config = MistralConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=2_048,
        sliding_window=None,
        bos_token_id=0,
        eos_token_id=1,
        initializer_range=0.3,
    )
    MistralForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_tiny_adapter(weights: Path, folder: Path, *, labels: list[str], seed: int = 1) -> Path:
    """Writes a LoRA adapter with random weights whose notemill.json claims tagging of `labels` and search."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    network = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.bfloat16)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(network, config).save_pretrained(folder)
    served = {"tasks": ["entities", "search"], "entities_form": "marks", "labels": labels}
    (folder / "notemill.json").write_text(json.dumps(served), "utf-8")
    return folder


def _tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    words = "the patient was given aspirin and metoprolol for chest pain. denies fever or cough. problem"
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([words] * 3, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=SPECIAL[2:4],
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast
