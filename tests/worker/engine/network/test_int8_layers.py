"""Layers in 8 bits: whole numbers are exact, what is rounded is near, and smoothing changes nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import write_tiny_adapter, write_tiny_weights
from transformers import LlamaConfig, LlamaForCausalLM

from models.settings import Settings
from worker.engine.network import int8_layers
from worker.engine.network.fused_layers import fuse_layers
from worker.engine.network.int8_layers import Int8Linear, Int8Rows
from worker.engine.network.layer_blocks import LayerBlocks
from worker.engine.network.model_loader import load_network
from worker.engine.network.smoothquant import smooth_activations


def network(*, num_layers: int = 2) -> Any:
    sizes = {"hidden_size": 96, "intermediate_size": 160, "vocab_size": 64, "num_hidden_layers": num_layers}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    made = LlamaForCausalLM(LlamaConfig(**sizes, **heads, initializer_range=0.3)).to(torch.bfloat16).eval()
    for layer in made.model.layers:
        for norm in (layer.input_layernorm, layer.post_attention_layernorm):
            norm.weight.data = torch.rand_like(norm.weight) + 0.5
    return made


def with_outliers(made: Any) -> Any:
    """Two inputs of each layer are forty times as large as the others."""
    for layer in made.model.layers:
        layer.input_layernorm.weight.data[:2] *= 40
        layer.post_attention_layernorm.weight.data[:2] *= 40
    return made


def far(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.float() - expected.float()).norm() / expected.float().norm())


@pytest.mark.parametrize(
    ("quantization", "in_eight_bits"), [("nf4", [True, False]), ("none", [False, False])]
)
def test_on_a_cpu_what_has_the_adapter_is_computed_in_eight_bits(
    tmp_path: Path, quantization: str, in_eight_bits: list[bool]
) -> None:
    weights = write_tiny_weights(tmp_path / "weights")
    adapter = write_tiny_adapter(weights, tmp_path / "adapter", labels=["problem"])
    settings = Settings(home=tmp_path, weights=str(weights), adapter=str(adapter), quantization=quantization)
    networks = load_network(weights, settings, torch.device("cpu"))
    bodies = [networks.body(uses_adapter=one) for one in (True, False)]
    assert [any(isinstance(one, Int8Linear) for one in body.modules()) for body in bodies] == in_eight_bits


@pytest.mark.parametrize(
    ("rounded", "dtype"), [(Int8Rows.of, torch.bfloat16), (Int8Rows.of_fp32, torch.float32)]
)
def test_a_row_is_rounded_to_the_nearest_of_its_own_steps(
    rounded: Callable[[torch.Tensor], Int8Rows], dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    rows = (torch.randn(50, 33) * torch.logspace(-6, 6, 50)[:, None]).to(dtype)
    found = rounded(rows.clone())
    whole = found.values.int() - 128
    assert whole.abs().amax(1).eq(127).all()
    assert torch.equal(whole, (rows / found.scales).round().int())


def test_a_row_of_nothing_stays_nothing() -> None:
    product = Int8Linear(torch.randn(8, 33))
    for given in (
        Int8Rows.of(torch.zeros(3, 33, dtype=torch.bfloat16)),
        Int8Rows.of_fp32(torch.zeros(3, 33)),
    ):
        assert product(given.values).mul_(given.scales).eq(0).all()


@pytest.mark.parametrize("is_laid_out", [True, False])
def test_whole_numbers_are_multiplied_exactly(monkeypatch: pytest.MonkeyPatch, is_laid_out: bool) -> None:
    if is_laid_out and not int8_layers.has_int8_kernels():
        pytest.skip("a processor without products of 8 bits")
    monkeypatch.setattr(int8_layers, "has_int8_kernels", lambda: is_laid_out)
    torch.manual_seed(0)
    weight, values = torch.randint(-127, 128, (40, 96)), torch.randint(1, 256, (70, 96), dtype=torch.uint8)
    weight[:, 0] = 127  # the largest, so that a step is 1
    found = Int8Linear(weight.to(torch.bfloat16))(values)
    assert torch.equal(found, ((values.long() - 128) @ weight.T).float())


@pytest.mark.parametrize("rows", [1, 33, 700])
@pytest.mark.parametrize("is_outer", [True, False])
def test_parts_in_eight_bits_are_near_those_in_bf16(rows: int, is_outer: bool) -> None:
    torch.manual_seed(0)
    layer = network(num_layers=1).model.layers[0]
    given, attended = (torch.randn(rows, 96).to(torch.bfloat16) for _ in range(2))
    with torch.inference_mode():
        whole, eight = LayerBlocks.of(layer), int8_layers.int8_blocks(layer, is_outer=is_outer)
        assert far(eight.projections(given), whole.projections(given)) < 0.02
        assert far(eight.out(attended, given), whole.out(attended, given)) < 0.02
        assert far(eight.mlp(given), whole.mlp(given)) < 0.03


def test_all_but_the_outer_layers_have_five_products_in_eight_bits() -> None:
    made = network(num_layers=6)
    fuse_layers(made, is_int8=True)
    products = [sum(isinstance(one, Int8Linear) for one in layer.modules()) for layer in made.model.layers]
    assert products == [4, 5, 5, 5, 4, 4]


def test_rows_in_runs_are_what_they_are_together(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    mlp = int8_layers.int8_blocks(network(num_layers=1).model.layers[0], is_outer=False).mlp
    given = torch.randn(700, 96).to(torch.bfloat16)
    with torch.inference_mode():
        in_runs = mlp(given)
        monkeypatch.setattr(int8_layers, "_MAX_ROWS", 10_000)
        monkeypatch.setattr(int8_layers, "_ROWS_PER_CORE", 10_000)
        torch.testing.assert_close(in_runs, mlp(given))


def test_a_smoothed_network_is_the_same_to_the_last_bit() -> None:
    torch.manual_seed(0)
    made, sample = with_outliers(network()), torch.randint(0, 64, (1, 50))
    smoothed = copy.deepcopy(made)
    smooth_activations(smoothed, sample)
    assert not torch.equal(
        smoothed.model.layers[0].input_layernorm.weight, made.model.layers[0].input_layernorm.weight
    )
    tokens = torch.randint(0, 64, (1, 40))
    with torch.inference_mode():
        assert torch.equal(smoothed(tokens).logits, made(tokens).logits)


def test_smoothing_leaves_outliers_less_of_the_steps() -> None:
    torch.manual_seed(0)
    made, sample = with_outliers(network()), torch.randint(0, 64, (1, 50))
    smoothed = copy.deepcopy(made)
    smooth_activations(smoothed, sample)
    given = torch.randn(200, 96).to(torch.bfloat16)
    with torch.inference_mode():
        whole = LayerBlocks.of(made.model.layers[0]).projections(given)
        before, after = (
            int8_layers.int8_blocks(one.model.layers[0], is_outer=True).projections(given)
            for one in (made, smoothed)
        )
    assert far(after, whole) < 0.7 * far(before, whole)
