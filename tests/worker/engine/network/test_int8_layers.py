"""Int8 layers: integer products are exact, quantization is close, SmoothQuant changes no result."""

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
    """Makes two inputs of each layer forty times as large as the others."""
    for layer in made.model.layers:
        layer.input_layernorm.weight.data[:2] *= 40
        layer.post_attention_layernorm.weight.data[:2] *= 40
    return made


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual.float() - expected.float()).norm() / expected.float().norm())


@pytest.mark.parametrize(("quantization", "expected"), [("nf4", [True, False]), ("none", [False, False])])
def test_a_cpu_computes_the_merged_network_in_int8(
    tmp_path: Path, quantization: str, expected: list[bool]
) -> None:
    weights = write_tiny_weights(tmp_path / "weights")
    adapter = write_tiny_adapter(weights, tmp_path / "adapter", labels=["problem"])
    settings = Settings(home=tmp_path, weights=str(weights), adapter=str(adapter), quantization=quantization)
    networks = load_network(weights, settings, torch.device("cpu"))
    bodies = [networks.body(uses_adapter=uses_adapter) for uses_adapter in (True, False)]
    assert [any(isinstance(module, Int8Linear) for module in body.modules()) for body in bodies] == expected


@pytest.mark.parametrize(
    ("rounded", "dtype"), [(Int8Rows.of, torch.bfloat16), (Int8Rows.of_fp32, torch.float32)]
)
def test_quantized_rows_are_rounded_to_the_nearest_step(
    rounded: Callable[[torch.Tensor], Int8Rows], dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    rows = (torch.randn(50, 33) * torch.logspace(-6, 6, 50)[:, None]).to(dtype)
    quantized = rounded(rows.clone())
    whole = quantized.values.int() - 128
    assert whole.abs().amax(1).eq(127).all()
    assert torch.equal(whole, (rows / quantized.scales).round().int())


def test_a_row_of_zeros_stays_zero() -> None:
    product = Int8Linear(torch.randn(8, 33))
    for given in (
        Int8Rows.of(torch.zeros(3, 33, dtype=torch.bfloat16)),
        Int8Rows.of_fp32(torch.zeros(3, 33)),
    ):
        assert product(given.values).mul_(given.scales).eq(0).all()


@pytest.mark.parametrize("is_packed", [True, False])
def test_integers_are_multiplied_exactly(monkeypatch: pytest.MonkeyPatch, is_packed: bool) -> None:
    if is_packed and not int8_layers.has_int8_kernels():
        pytest.skip("a processor without int8 instructions")
    monkeypatch.setattr(int8_layers, "has_int8_kernels", lambda: is_packed)
    torch.manual_seed(0)
    weight, values = torch.randint(-127, 128, (40, 96)), torch.randint(1, 256, (70, 96), dtype=torch.uint8)
    weight[:, 0] = 127  # the largest value, so that the scale is 1
    product = Int8Linear(weight.to(torch.bfloat16))(values)
    assert torch.equal(product, ((values.long() - 128) @ weight.T).float())


@pytest.mark.parametrize("rows", [1, 33, 700])
@pytest.mark.parametrize("is_outer", [True, False])
def test_int8_blocks_are_close_to_bf16_blocks(rows: int, is_outer: bool) -> None:
    torch.manual_seed(0)
    layer = network(num_layers=1).model.layers[0]
    given, attended = (torch.randn(rows, 96).to(torch.bfloat16) for _ in range(2))
    with torch.inference_mode():
        whole, eight = LayerBlocks.of(layer), int8_layers.int8_blocks(layer, is_outer=is_outer)
        assert relative_error(eight.projections(given), whole.projections(given)) < 0.02
        assert relative_error(eight.out(attended, given), whole.out(attended, given)) < 0.02
        assert relative_error(eight.mlp(given), whole.mlp(given)) < 0.03


def test_inner_layers_have_five_int8_products_and_outer_layers_four() -> None:
    made = network(num_layers=6)
    fuse_layers(made, is_int8=True)
    products = [
        sum(isinstance(module, Int8Linear) for module in layer.modules()) for layer in made.model.layers
    ]
    assert products == [4, 5, 5, 5, 4, 4]


def test_rows_in_blocks_equal_rows_together(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    mlp = int8_layers.int8_blocks(network(num_layers=1).model.layers[0], is_outer=False).mlp
    given = torch.randn(700, 96).to(torch.bfloat16)
    with torch.inference_mode():
        in_blocks = mlp(given)
        monkeypatch.setattr(int8_layers, "_MAX_ROWS", 10_000)
        monkeypatch.setattr(int8_layers, "_ROWS_PER_CORE", 10_000)
        torch.testing.assert_close(in_blocks, mlp(given))


def test_a_smoothed_network_computes_bit_identical_results() -> None:
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


def test_smoothquant_reduces_the_error_from_outliers() -> None:
    torch.manual_seed(0)
    made, sample = with_outliers(network()), torch.randint(0, 64, (1, 50))
    smoothed = copy.deepcopy(made)
    smooth_activations(smoothed, sample)
    given = torch.randn(200, 96).to(torch.bfloat16)
    with torch.inference_mode():
        whole = LayerBlocks.of(made.model.layers[0]).projections(given)
        before, after = (
            int8_layers.int8_blocks(compared.model.layers[0], is_outer=True).projections(given)
            for compared in (made, smoothed)
        )
    assert relative_error(after, whole) < 0.7 * relative_error(before, whole)
