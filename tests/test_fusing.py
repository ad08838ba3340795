"""Layers in fewer, larger steps: only those that are made of what the steps compute."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from worker.fusing import FusedLayer, Norm, fuse


def network(**settings: object) -> LlamaForCausalLM:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "vocab_size": 64}
    return LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, **settings))


@pytest.mark.parametrize(
    ("settings", "is_fused"), [({}, True), ({"hidden_act": "gelu"}, False), ({"attention_bias": True}, False)]
)
def test_layers_of_another_make_stay_as_they_are(settings: dict[str, object], is_fused: bool) -> None:
    fuse(made := network(**settings))
    assert all(isinstance(layer, FusedLayer) is is_fused for layer in made.model.layers)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("rows", [1, 33, 700])
def test_a_norm_is_transformers_own(rows: int, dtype: torch.dtype) -> None:
    norm = LlamaRMSNorm(96, eps=1e-5).to(dtype)
    norm.weight.data = torch.rand(96).to(dtype) + 0.5
    given = torch.randn(1, rows, 96).to(dtype) * 3 + 0.5
    before = given.clone()
    with torch.inference_mode():
        torch.testing.assert_close(Norm(norm)(given), norm(given))
    assert torch.equal(given, before)
