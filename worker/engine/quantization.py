"""Weights in 4 bits: the form in which a network's are kept on disk and in memory."""

from __future__ import annotations

import torch
from transformers import BitsAndBytesConfig


def nf4() -> BitsAndBytesConfig:
    """4-bit NormalFloat with double quantization (QLoRA, arXiv 2305.14314), bf16 arithmetic."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
