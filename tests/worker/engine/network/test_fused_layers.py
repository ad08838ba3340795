"""Fused layers equal those of transformers, and only supported layers are fused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch.nn.functional import scaled_dot_product_attention
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from worker.engine.network.fused_layers import FusedLayer, fuse_layers
from worker.engine.network.layer_blocks import RmsNorm
from worker.engine.network.lora import AdapterSwitch, LoraLinear
from worker.engine.network.model_loader import AdaptableNetwork, network_with_adapter
from worker.engine.network.model_runner import _register_attention


def network(**settings: object) -> LlamaForCausalLM:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "vocab_size": 64}
    return LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, **settings))


@pytest.mark.parametrize(
    ("settings", "is_fused"), [({}, True), ({"hidden_act": "gelu"}, False), ({"attention_bias": True}, False)]
)
def test_other_layers_are_not_fused(settings: dict[str, object], is_fused: bool) -> None:
    fuse_layers(made := network(**settings))
    assert all(isinstance(layer, FusedLayer) is is_fused for layer in made.model.layers)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("rows", [1, 33, 700])
def test_the_norm_equals_that_of_transformers(rows: int, dtype: torch.dtype) -> None:
    norm = LlamaRMSNorm(96, eps=1e-5).to(dtype)
    norm.weight.data = torch.rand(96).to(dtype) + 0.5
    given = torch.randn(1, rows, 96).to(dtype) * 3 + 0.5
    before = given.clone()
    with torch.inference_mode():
        torch.testing.assert_close(RmsNorm(norm)(given), norm(given))
    assert torch.equal(given, before)


def plain_attention(_layer: int, *packed: torch.Tensor) -> torch.Tensor:
    """Plain attention of one sequence; packed: query, key and value."""
    heads = (states.transpose(0, 1)[None] for states in packed)
    return scaled_dot_product_attention(*heads, is_causal=True, enable_gqa=True)[0].transpose(0, 1)


def hidden(
    networks: AdaptableNetwork, tokens: torch.Tensor, *, uses_adapter: bool, **more: Any
) -> torch.Tensor:
    _register_attention()
    hidden_state: torch.Tensor = networks.body(uses_adapter=uses_adapter)(
        input_ids=tokens,
        position_ids=torch.arange(tokens.shape[1])[None],
        use_cache=False,
        notemill_attend=plain_attention,
        **more,
    ).last_hidden_state
    return hidden_state


def test_the_last_layer_is_computed_to_its_end_for_requested_tokens_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    fuse_layers(made := network(initializer_range=0.3).eval())
    tokens, wanted, rows = torch.randint(0, 64, (1, 20)), torch.tensor([3, 4, 19]), []
    gate = made.model.layers[-1]._mlp._gate
    activated = gate.silu
    monkeypatch.setattr(gate, "silu", lambda given: (rows.append(len(given)), activated(given))[1])
    with torch.inference_mode():
        whole = hidden(AdaptableNetwork(made), tokens, uses_adapter=False)
        some = hidden(AdaptableNetwork(made), tokens, uses_adapter=False, notemill_wanted=wanted)
    assert rows == [20, 3]
    torch.testing.assert_close(some, whole[:, wanted])


def network_with_peft_adapter(**settings: Any) -> tuple[LlamaForCausalLM, PeftModel]:
    torch.manual_seed(0)
    made = network(initializer_range=0.3).eval()
    lora = LoraConfig(r=4, lora_alpha=12, target_modules="all-linear", init_lora_weights=False, **settings)
    return made, get_peft_model(made, lora).eval()


@pytest.mark.parametrize(("settings", "is_ours"), [({}, True), ({"use_dora": True}, False)])
def test_an_adapter_beside_the_weights_equals_peft(settings: dict[str, object], is_ours: bool) -> None:
    made, around = network_with_peft_adapter(**settings)
    tokens = torch.randint(0, 64, (1, 20))
    with torch.inference_mode():
        on = made.model(tokens, use_cache=False).last_hidden_state.clone()
        with around.disable_adapter():
            off = made.model(tokens, use_cache=False).last_hidden_state.clone()
        networks = network_with_adapter(made, around)
        assert isinstance(networks._switch, AdapterSwitch) is is_ours
        assert any(isinstance(module, LoraLinear) for module in made.modules()) is is_ours
        assert all(isinstance(layer, FusedLayer) is is_ours for layer in made.model.layers)
        assert not torch.allclose(on, off, atol=0.1)
        for uses_adapter, expected in ((True, on), (False, off), (True, on)):
            torch.testing.assert_close(hidden(networks, tokens, uses_adapter=uses_adapter), expected)
