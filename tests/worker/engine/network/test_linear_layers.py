"""Packed linear layers: results equal torch's own."""

import pytest
import torch
from torch.nn.functional import linear, silu

from worker.engine.network.linear import PackedLinear, can_pack, padded_rows


@pytest.mark.parametrize("rows", [1, 7, 32, 129, 700])
@pytest.mark.parametrize(("outputs", "inputs"), [(96, 64), (33, 72)])
def test_a_product_equals_that_of_torch(rows: int, outputs: int, inputs: int) -> None:
    weight = torch.randn(outputs, inputs, dtype=torch.bfloat16)
    given = torch.randn(rows, inputs, dtype=torch.bfloat16)
    with torch.inference_mode():
        output = PackedLinear(weight)(given)
    torch.testing.assert_close(output, linear(given, weight), rtol=2e-2, atol=2e-2)
    assert output.shape == (rows, outputs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["packed", "unpacked"])
def test_operations_after_a_product_are_applied(dtype: torch.dtype) -> None:
    weight, given = torch.randn(96, 64, dtype=dtype) / 8, torch.randn(33, 64, dtype=dtype)
    other = torch.randn(33, 96, dtype=dtype)
    with torch.inference_mode():
        product, plain = PackedLinear(weight), linear(given, weight)
        for output, expected in (
            (product.silu(given), silu(plain)),
            (product.multiply(given, other), plain * other),
            (product.add_residual(given, other), plain + other),
        ):
            torch.testing.assert_close(output, expected, rtol=3e-2, atol=3e-2)


def test_numbers_of_rows_are_rounded_up_to_few_values() -> None:
    cpu = torch.device("cpu")
    assert [padded_rows(num_rows, cpu) for num_rows in (1, 32, 33, 256, 257, 2_048)] == [
        1,
        32,
        40,
        256,
        320,
        2_048,
    ]
    assert padded_rows(1_001, torch.device("cuda")) == 1_001
    assert len({padded_rows(num_rows, cpu) for num_rows in range(1, 2_049)}) * 5 < 1_024


def test_weights_that_cannot_be_packed_are_multiplied_unpacked() -> None:
    weight = torch.randn(8, 16)
    assert not can_pack(weight)
    given = torch.randn(3, 16)
    torch.testing.assert_close(PackedLinear(weight)(given), given @ weight.T)
