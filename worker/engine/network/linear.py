"""Linear layers without bias, each with the operation that follows it.

Weights in bf16 are packed for the CPU once, at load. torch packs a plain weight for each product of few rows
anew: 4 rows by 576 by 1,536 take 0.30 ms against 0.12 ms, with bit-identical results. The operators are those
that torch.compile uses for linear layers of a frozen network (torch/_inductor/fx_passes/mkldnn_fusion.py,
torch 2.13).
"""

from __future__ import annotations

from typing import Any, TypeGuard

import torch
import torch.nn.functional as F  # noqa: N812  the name all of torch's own documentation uses
from torch import nn

from worker.engine.memory.footprint import rounded_up

_PACKING_ROWS = 128
"""Number of rows for which weights are packed; packings for 1 to 1,024 rows were equally fast."""

_FEW_ROWS = 32
"""Up to this many rows oneDNN creates a kernel in half a millisecond."""
_SOME_ROWS = 256
"""Up to this many rows, rounding to multiples of 64 would add a fifth of the work or more."""


class PackedLinear(nn.Module):
    """`rows @ weight.T` and an operation that follows; with oneDNN it follows before the result is rounded to
    bf16.

    rows: [number, inputs]; returns [number, outputs].
    """

    def __init__(self, weight: torch.Tensor) -> None:
        """Packs the weight [outputs, inputs] if the processor supports that."""
        super().__init__()
        self.nbytes: int = weight.nbytes
        self._is_packed = can_pack(weight)
        # Neither a parameter nor a buffer: packed weights cannot be moved or saved.
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
        return (
            self._with_activation(rows, "swish") if self._is_packed else F.silu(F.linear(rows, self._weight))
        )

    def multiply(self, rows: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        """The product times `factor`, [number, outputs]."""
        return (
            self._with_operand(rows, factor, "mul")
            if self._is_packed
            else F.linear(rows, self._weight) * factor
        )

    def add_residual(self, rows: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        """The product plus `residual`, [number, outputs]."""
        return (
            self._with_operand(rows, residual, "add")
            if self._is_packed
            else F.linear(rows, self._weight) + residual
        )

    def _with_activation(self, rows: torch.Tensor, name: str) -> torch.Tensor:
        output: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._weight, None, name, [], "")
        return output

    def _with_operand(self, rows: torch.Tensor, operand: torch.Tensor, name: str) -> torch.Tensor:
        output: torch.Tensor = torch.ops.mkldnn._linear_pointwise.binary(
            rows, operand, self._weight, None, name
        )
        return output


class WrappedLinear(nn.Module):
    """The same operations for a linear layer that is more than a weight: 4-bit, or with an adapter beside
    it."""

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
        """The product plus `residual`, [number, outputs]."""
        output: torch.Tensor = self(rows)
        return output.add_(residual)


def linear_of(linear: nn.Module) -> PackedLinear | WrappedLinear:
    """Wraps a linear layer without bias of any kind."""
    return PackedLinear(linear.weight) if is_plain_linear(linear) else WrappedLinear(linear)


def is_plain_linear(linear: nn.Module) -> TypeGuard[nn.Linear]:
    """True for a layer that is only a weight in the type of the computation."""
    return type(linear) is nn.Linear


def padded_rows(number: int, device: torch.device) -> int:
    """Rounds the number of rows up, so that few distinct numbers occur.

    oneDNN creates a kernel for each new number of rows and keeps 1,024 of them: the first product of 1,500
    rows by 576 by 1,536 took 26 ms, the next one 4 ms (docs/results/performance.md).
    """
    if device.type != "cpu" or number <= _FEW_ROWS:
        return number
    return rounded_up(number, 8 if number <= _SOME_ROWS else 64)


def can_pack(weight: torch.Tensor) -> bool:
    """True for a bf16 weight on a CPU with bf16 instructions, if torch has oneDNN."""
    return weight.device.type == "cpu" and weight.dtype is torch.bfloat16 and has_bf16()


def has_bf16() -> bool:
    """True if torch's oneDNN multiplies in bf16 on this CPU."""
    return torch.backends.mkldnn.is_available() and bool(  # type: ignore[no-untyped-call]
        torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
