"""Layers in fewer, larger steps: only those that are made of what the steps compute."""

from __future__ import annotations

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from worker.fusing import FusedLayer, fuse


def network(**settings: object) -> LlamaForCausalLM:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "vocab_size": 64}
    return LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, **settings))


@pytest.mark.parametrize(
    ("settings", "is_fused"), [({}, True), ({"hidden_act": "gelu"}, False), ({"attention_bias": True}, False)]
)
def test_layers_of_another_make_stay_as_they_are(settings: dict[str, object], is_fused: bool) -> None:
    fuse(made := network(**settings))
    assert all(isinstance(layer, FusedLayer) is is_fused for layer in made.model.layers)
