"""Blocks of a layer with int8 weights and inputs: on a CPU they take about half the time of bf16.

Each output of a weight and each input row has its own scale (LLM.int8(), arXiv 2208.07339, section 2),
applied in fp32 to exact integer sums. SmoothQuant evens out inputs with outliers beforehand
(`worker.engine.network.smoothquant`), which would leave few of the 255 steps to the other values.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  the name all of torch's own documentation uses
from torch import nn

from worker.engine.network.layer_blocks import LayerBlocks, OutputProjection

_MAX_INT8 = 127
"""Largest magnitude of a quantized value."""
_ZERO_POINT = 128
"""Input rows are unsigned with this zero point: oneDNN multiplies unsigned rows with signed weights fast, but
signed rows only by its reference code, a thousand times slower."""
_ROUNDING_CONSTANT = 1.5 * 2**23
"""Added to a value in fp32 it leaves no bits for a fraction, which rounds the value and puts the integer into
the lowest byte: a third of the time of rounding and converting."""
_MAGNITUDE_BITS = 0x7FFF
"""The bits of a bf16 value without the sign."""
_ROWS_PER_CORE = 512
"""Rows of a core that go through the MLP together, so that intermediate results stay in that core's cache."""
_MAX_ROWS = 1_024
"""Rows of all cores that go through the MLP together: intermediate results in fp32 then take no more memory
than `worker.engine.memory.footprint` counts for a batch."""


class Int8Rows(NamedTuple):
    """Quantized rows; a row is its values, minus the zero point 128, times its scale."""

    values: torch.Tensor
    """[rows, inputs], uint8."""
    scales: torch.Tensor
    """[rows, 1], fp32."""

    @staticmethod
    def of(rows: torch.Tensor) -> Int8Rows:
        """Quantizes rows: [rows, inputs], bf16."""
        # The bits of non-negative floats have the same order as their values.
        bits = rows.view(torch.int16).bitwise_and(_MAGNITUDE_BITS).amax(1, keepdim=True)
        largest = bits.view(torch.bfloat16).float()
        return Int8Rows(_rounded_uint8(torch.mul(rows, _MAX_INT8 / largest)), largest / _MAX_INT8)

    @staticmethod
    def of_fp32(rows: torch.Tensor) -> Int8Rows:
        """Quantizes rows: [rows, inputs], fp32; overwrites them."""
        largest = torch.maximum(rows.amax(1, keepdim=True), -rows.amin(1, keepdim=True))
        return Int8Rows(_rounded_uint8(rows.mul_(_MAX_INT8 / largest)), largest / _MAX_INT8)

    def scaled_by(self, scales: torch.Tensor) -> Int8Rows:
        """The rows multiplied by scales: [rows, 1]."""
        return Int8Rows(self.values, self.scales * scales)


def _rounded_uint8(rows: torch.Tensor) -> torch.Tensor:
    """Rounds rows in fp32, of magnitude at most 127, to uint8 with zero point 128; overwrites them."""
    return rows.add_(_ROUNDING_CONSTANT + _ZERO_POINT).view(torch.int32).to(torch.uint8)


class Int8Linear(nn.Module):
    """`rows @ weight.T` of quantized rows, without the scales of the rows."""

    def __init__(self, weight: torch.Tensor) -> None:
        """weight: [outputs, inputs]."""
        super().__init__()
        rows = weight.to(torch.float32, copy=True)
        largest = torch.maximum(rows.amax(1), -rows.amin(1)).clamp_(min=torch.finfo(torch.float32).tiny)
        values = rows.mul_((_MAX_INT8 / largest)[:, None]).round_().to(torch.int8)
        self.nbytes: int = values.nbytes + largest.nbytes
        self._scales = largest / _MAX_INT8
        self._is_packed = has_int8_kernels()
        # Neither a parameter nor a buffer: packed weights cannot be moved or saved.
        self._weight: Any
        if self._is_packed:
            self._zeros = torch.zeros(len(values), dtype=torch.int32)
            self._weight = torch.ops.onednn.qlinear_prepack(values, [_ROWS_PER_CORE, values.shape[1]])
        else:
            self._weight = values.float()

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """numbers: [rows, inputs], uint8; returns [rows, outputs], fp32."""
        if not self._is_packed:
            return F.linear(values.float().sub_(_ZERO_POINT), self._weight).mul_(self._scales)
        output: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            *(values, 1.0, _ZERO_POINT, self._weight, self._scales, self._zeros, None),
            *(1.0, 0, torch.float32, "none", [], ""),
        )
        return output


def int8_blocks(layer: Any, *, is_outer: bool) -> LayerBlocks:
    """The blocks of a transformers layer whose linear layers are plain weights."""
    attention, mlp = layer.self_attn, layer.mlp
    projection_weight = torch.cat([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight])
    return LayerBlocks(
        _Int8QkvProjection(layer.input_layernorm, projection_weight),
        _Int8OutputProjection(attention.o_proj.weight),
        _Int8MlpBlock(
            layer.post_attention_layernorm, mlp.gate_proj, mlp.up_proj, mlp.down_proj, is_outer=is_outer
        ),
    )


def has_int8_kernels() -> bool:
    """True if torch has oneDNN and the processor VNNI instructions, whose int8 products cannot overflow;
    otherwise the same integers are multiplied in fp32."""
    return (
        torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.cpu._is_vnni_supported()
    )


class _Int8Norm(nn.Module):
    """RMSNorm with quantized output; the divisor of a row becomes part of its scale."""

    def __init__(self, norm: Any) -> None:
        super().__init__()
        self._weight = norm.weight
        self._epsilon: float = norm.variance_epsilon

    def forward(self, rows: torch.Tensor) -> Int8Rows:
        """rows: [rows, inputs], bf16."""
        output = Int8Rows.of(rows * self._weight)
        squares = torch.linalg.vector_norm(rows, dim=1, keepdim=True, dtype=torch.float32).square_()
        return output.scaled_by((squares / rows.shape[1] + self._epsilon).rsqrt_())


class _Int8QkvProjection(nn.Module):
    def __init__(self, norm: Any, weight: torch.Tensor) -> None:
        super().__init__()
        self._norm, self._linear = _Int8Norm(norm), Int8Linear(weight)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        normed = self._norm(rows)
        output: torch.Tensor = self._linear(normed.values).mul_(normed.scales)
        return output.to(rows.dtype)


class _Int8OutputProjection(nn.Module):
    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self._linear = Int8Linear(weight)

    def forward(self, attended: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return self.add_residual(Int8Rows.of(attended), rows)

    def add_residual(self, inputs: Int8Rows, rows: torch.Tensor) -> torch.Tensor:
        """Adds the product to rows: [rows, hidden size]."""
        output: torch.Tensor = self._linear(inputs.values).mul_(inputs.scales).add_(rows)
        return output.to(rows.dtype)


class _Int8MlpBlock(nn.Module):
    """Gate, up and down. Every input row of down has outliers; in the outer layers, where these affect
    answers most, down stays in bf16 (docs/decisions/int8-with-merged-adapter.md)."""

    def __init__(self, norm: Any, gate: Any, up: Any, down: Any, *, is_outer: bool) -> None:
        super().__init__()
        self._norm = _Int8Norm(norm)
        self._gate, self._up = Int8Linear(gate.weight), Int8Linear(up.weight)
        self._down = OutputProjection(down) if is_outer else _Int8OutputProjection(down.weight)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        blocks = torch.split(rows, min(_ROWS_PER_CORE * torch.get_num_threads(), _MAX_ROWS))
        return torch.cat([*map(self._of_block, blocks)]) if len(blocks) > 1 else self._of_block(rows)

    def _of_block(self, rows: torch.Tensor) -> torch.Tensor:
        normed = self._norm(rows)
        gate = F.silu(self._gate(normed.values).mul_(normed.scales), inplace=True)
        activated = gate.mul_(self._up(normed.values))  # without the scales of the rows
        if isinstance(self._down, _Int8OutputProjection):
            return self._down.add_residual(Int8Rows.of_fp32(activated).scaled_by(normed.scales), rows)
        output: torch.Tensor = self._down(activated.mul_(normed.scales).to(rows.dtype), rows)
        return output
