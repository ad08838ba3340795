"""Linear layers, each with what may follow it.

Their weights are laid out for a CPU in bf16 once, at load. torch lays a plain weight out anew for each
product of few rows: 0.30 against 0.12 ms for 4 rows of 576 by 1,536, 0.46 against 0.33 for 32, 19.4 against
18.0 for 2,048, with the same numbers to the last bit. The operators are those that torch.compile puts in the
place of linear layers when it freezes a network (torch/_inductor/fx_passes/mkldnn_fusion.py, torch 2.13).
"""

from __future__ import annotations

from typing import Any, TypeGuard

import torch
import torch.nn.functional as F  # noqa: N812  the name all of torch's own documentation uses
from torch import nn

from worker.engine.memory.footprint import rounded_up

_PACKING_ROWS = 128
"""For which the layout is asked; those for 1 to 1,024 rows were equally fast on all of them."""

_FEW_ROWS = 32
"""For which a kernel is made in half a millisecond, whatever their number."""
_SOME_ROWS = 256
"""To which 64 rows more would be a fifth and more of the work."""


class PackedLinear(nn.Module):
    """`rows @ weight.T`, and what may follow, before anything is rounded to bf16 where oneDNN does it.

    rows: [number, inputs]; found: [number, outputs].
    """

    def __init__(self, weight: torch.Tensor) -> None:
        """Takes the weight [outputs, inputs] over where it can lay it out."""
        super().__init__()
        self.nbytes: int = weight.nbytes
        self._is_packed = can_pack(weight)
        # No parameter and no buffer: what is laid out can neither be moved nor saved.
        self._weight: Any = weight.detach()
        if self._is_packed:
            self._weight = torch.ops.mkldnn._reorder_linear_weight(self._weight.contiguous(), _PACKING_ROWS)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """The product alone."""
        if not self._is_packed:
            return F.linear(rows, self._weight)
        return self._with_activation(rows, "none")

    def silu(self, rows: torch.Tensor) -> torch.Tensor:
        """x * sigmoid(x) of the product."""
        return self._with_activation(rows, "swish") if self._is_packed else F.silu(F.linear(rows, self._weight))

    def multiply(self, rows: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        """The product times `factor`, [number, outputs]."""
        return self._with_operand(rows, factor, "mul") if self._is_packed else F.linear(rows, self._weight) * factor

    def add_residual(self, rows: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        """The product plus `other`, [number, outputs]."""
        return self._with_operand(rows, residual, "add") if self._is_packed else F.linear(rows, self._weight) + residual

    def _with_activation(self, rows: torch.Tensor, name: str) -> torch.Tensor:
        output: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._weight, None, name, [], "")
        return output

    def _with_operand(self, rows: torch.Tensor, residual: torch.Tensor, name: str) -> torch.Tensor:
        output: torch.Tensor = torch.ops.mkldnn._linear_pointwise.binary(rows, residual, self._weight, None, name)
        return output


class WrappedLinear(nn.Module):
    """The same of a linear layer that is more than its weight: 4 bits wide, or with an adapter beside it."""

    def __init__(self, linear: nn.Module) -> None:
        super().__init__()
        self._linear = linear

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """The product alone."""
        output: torch.Tensor = self._linear(rows)
        return output

    def silu(self, rows: torch.Tensor) -> torch.Tensor:
        """x * sigmoid(x) of the product."""
        return F.silu(self(rows), inplace=True)

    def multiply(self, rows: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        """The product times `factor`, [number, outputs]."""
        output: torch.Tensor = self(rows)
        return output.mul_(factor)

    def add_residual(self, rows: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        """The product plus `other`, [number, outputs]."""
        output: torch.Tensor = self(rows)
        return output.add_(residual)


def linear_of(linear: nn.Module) -> PackedLinear | WrappedLinear:
    """Of a linear layer without bias, whatever it is made of."""
    return PackedLinear(linear.weight) if is_plain_linear(linear) else WrappedLinear(linear)


def is_plain_linear(linear: nn.Module) -> TypeGuard[nn.Linear]:
    """Nothing but a weight, in the numbers that are computed with."""
    return type(linear) is nn.Linear


def padded_rows(number: int, device: torch.device) -> int:
    """So many rows or a few more: a number that comes again.

    oneDNN makes a kernel for each new number of rows, and keeps 1,024: of 1,500 rows of 576 by 1,536 the
    first product took 26 ms, the next 4, of 40 rows 2.2 and 0.2 (docs/results/performance.md).
    """
    if device.type != "cpu" or number <= _FEW_ROWS:
        return number
    return rounded_up(number, 8 if number <= _SOME_ROWS else 64)


def can_pack(weight: torch.Tensor) -> bool:
    """bf16 on a CPU that has products for it, with a torch that was built with oneDNN."""
    return weight.device.type == "cpu" and weight.dtype is torch.bfloat16 and has_bf16()


def has_bf16() -> bool:
    """Whether a CPU multiplies in bf16, by torch's oneDNN."""
    return torch.backends.mkldnn.is_available() and bool(  # type: ignore[no-untyped-call]
        torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
