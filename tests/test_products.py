"""Products with weights laid out for the processor: the numbers are torch's own."""

import pytest
import torch
from torch.nn.functional import linear

from worker.products import Product, can_lay_out


@pytest.mark.parametrize("rows", [1, 7, 32, 129, 700])
@pytest.mark.parametrize(("outputs", "inputs"), [(96, 64), (33, 72)])
def test_a_product_is_torchs_own(rows: int, outputs: int, inputs: int) -> None:
    weight = torch.randn(outputs, inputs, dtype=torch.bfloat16)
    given = torch.randn(rows, inputs, dtype=torch.bfloat16)
    with torch.inference_mode():
        found = Product(weight)(given)
    torch.testing.assert_close(found, linear(given, weight), rtol=2e-2, atol=2e-2)
    assert found.shape == (rows, outputs)


def test_leading_dimensions_stay() -> None:
    weight = torch.randn(8, 16, dtype=torch.bfloat16)
    with torch.inference_mode():
        assert Product(weight)(torch.randn(2, 5, 16, dtype=torch.bfloat16)).shape == (2, 5, 8)


def test_what_cannot_be_laid_out_is_multiplied_as_it_is() -> None:
    weight = torch.randn(8, 16)
    assert not can_lay_out(weight)
    given = torch.randn(3, 16)
    torch.testing.assert_close(Product(weight)(given), given @ weight.T)
