"""The parts of a layer with weights and rows in 8 bits: on a CPU in about half of the time that bf16 takes.

Each output of a weight and each row has a scale of its own (as LLM.int8() has it, arXiv 2208.07339, section
2), applied in fp32 to sums of whole numbers, which are exact. Inputs with outliers, which would leave the
others few of the 255 steps, are evened out beforehand (`worker.engine.network.smoothquant`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  the name all of torch's own documentation uses
from torch import nn

from worker.engine.network.layer_blocks import LayerBlocks, OutputProjection

_MOST = 127
"""Of a number without its sign."""
_ZERO = 128
"""Rows are unsigned, counted from here: oneDNN multiplies those with signed weights, and signed ones by its
reference code only, a thousand times slower."""
_WHOLE = 1.5 * 2**23
"""Added to a number in fp32 it leaves no bits for a fraction, so it rounds it, and the whole number is in the
lowest byte: a third of what rounding and converting take."""
_WITHOUT_SIGN = 0x7FFF
"""The other bits of a number in bf16."""
_ROWS_TOGETHER = 512
"""A core's, through the MLP: what lies between its products stays in that core's cache."""
_MOST_TOGETHER = 1_024
"""Of all cores: with what lies between in fp32 no more memory than `worker.engine.memory.footprint` counts
for a step."""


class Int8Rows(NamedTuple):
    """Rows in 8 bits; a row is its numbers, counted from 128, times its scale."""

    numbers: torch.Tensor
    """[rows, inputs], uint8."""
    scales: torch.Tensor
    """[rows, 1], fp32."""

    @staticmethod
    def of(rows: torch.Tensor) -> Int8Rows:
        """rows: [rows, inputs], bf16."""
        # Of numbers without their signs the larger one has the larger bits.
        bits = rows.view(torch.int16).bitwise_and(_WITHOUT_SIGN).amax(1, keepdim=True)
        largest = bits.view(torch.bfloat16).float()
        return Int8Rows(_whole(torch.mul(rows, _MOST / largest)), largest / _MOST)

    @staticmethod
    def of_sums(rows: torch.Tensor) -> Int8Rows:
        """rows: [rows, inputs], fp32, which are changed."""
        largest = torch.maximum(rows.amax(1, keepdim=True), -rows.amin(1, keepdim=True))
        return Int8Rows(_whole(rows.mul_(_MOST / largest)), largest / _MOST)

    def times(self, scales: torch.Tensor) -> Int8Rows:
        """scales: [rows, 1]."""
        return Int8Rows(self.numbers, self.scales * scales)


def _whole(rows: torch.Tensor) -> torch.Tensor:
    """rows: fp32, without their signs at most 127, which are changed. Returns uint8, counted from 128."""
    return rows.add_(_WHOLE + _ZERO).view(torch.int32).to(torch.uint8)


class Int8Linear(nn.Module):
    """`rows @ weight.T` of rounded rows, but for the rows' scales."""

    def __init__(self, weight: torch.Tensor) -> None:
        """weight: [outputs, inputs]."""
        super().__init__()
        rows = weight.to(torch.float32, copy=True)
        largest = torch.maximum(rows.amax(1), -rows.amin(1)).clamp_(min=torch.finfo(torch.float32).tiny)
        numbers = rows.mul_((_MOST / largest)[:, None]).round_().to(torch.int8)
        self.nbytes: int = numbers.nbytes + largest.nbytes
        self._scales = largest / _MOST
        self._is_laid_out = has_int8_kernels()
        # No parameter and no buffer: what is laid out can neither be moved nor saved.
        self._weight: Any
        if self._is_laid_out:
            self._zeros = torch.zeros(len(numbers), dtype=torch.int32)
            self._weight = torch.ops.onednn.qlinear_prepack(numbers, [_ROWS_TOGETHER, numbers.shape[1]])
        else:
            self._weight = numbers.float()

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """numbers: [rows, inputs], uint8; returns [rows, outputs], fp32."""
        if not self._is_laid_out:
            return F.linear(numbers.float().sub_(_ZERO), self._weight).mul_(self._scales)
        found: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            *(numbers, 1.0, _ZERO, self._weight, self._scales, self._zeros, None),
            *(1.0, 0, torch.float32, "none", [], ""),
        )
        return found


def int8_blocks(layer: Any, *, is_outer: bool) -> LayerBlocks:
    """Of a layer of transformers whose linear layers are plain weights."""
    attention, mlp = layer.self_attn, layer.mlp
    together = torch.cat([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight])
    return LayerBlocks(
        _Int8QkvProjection(layer.input_layernorm, together),
        _Int8OutputProjection(attention.o_proj.weight),
        _Int8MlpBlock(
            layer.post_attention_layernorm, mlp.gate_proj, mlp.up_proj, mlp.down_proj, is_outer=is_outer
        ),
    )


def has_int8_kernels() -> bool:
    """Where the processor has products of 8 bits that cannot overflow, and torch oneDNN; elsewhere the same
    whole numbers are multiplied in fp32."""
    return (
        torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.cpu._is_vnni_supported()
    )


class _Int8Norm(nn.Module):
    """RMSNorm, rounded: what a row is divided by goes into its scale."""

    def __init__(self, norm: Any) -> None:
        super().__init__()
        self._weight = norm.weight
        self._epsilon: float = norm.variance_epsilon

    def forward(self, rows: torch.Tensor) -> Int8Rows:
        """rows: [rows, inputs], bf16."""
        found = Int8Rows.of(rows * self._weight)
        squares = torch.linalg.vector_norm(rows, dim=1, keepdim=True, dtype=torch.float32).square_()
        return found.times((squares / rows.shape[1] + self._epsilon).rsqrt_())


class _Int8QkvProjection(nn.Module):
    def __init__(self, norm: Any, weight: torch.Tensor) -> None:
        super().__init__()
        self._norm, self._product = _Int8Norm(norm), Int8Linear(weight)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        normed = self._norm(rows)
        found: torch.Tensor = self._product(normed.numbers).mul_(normed.scales)
        return found.to(rows.dtype)


class _Int8OutputProjection(nn.Module):
    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self._product = Int8Linear(weight)

    def forward(self, found: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return self.plus(Int8Rows.of(found), rows)

    def plus(self, given: Int8Rows, rows: torch.Tensor) -> torch.Tensor:
        """rows: [rows, size of the network], to be added."""
        summed: torch.Tensor = self._product(given.numbers).mul_(given.scales).add_(rows)
        return summed.to(rows.dtype)


class _Int8MlpBlock(nn.Module):
    """What gate and up make has outliers in every row. Where that goes into the answers most, in the outer
    layers, down stays in bf16 (docs/decisions/int8-with-merged-adapter.md)."""

    def __init__(self, norm: Any, gate: Any, up: Any, down: Any, *, is_outer: bool) -> None:
        super().__init__()
        self._norm = _Int8Norm(norm)
        self._gate, self._up = Int8Linear(gate.weight), Int8Linear(up.weight)
        self._down = OutputProjection(down) if is_outer else _Int8OutputProjection(down.weight)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        runs = torch.split(rows, min(_ROWS_TOGETHER * torch.get_num_threads(), _MOST_TOGETHER))
        return torch.cat([*map(self._of_run, runs)]) if len(runs) > 1 else self._of_run(rows)

    def _of_run(self, rows: torch.Tensor) -> torch.Tensor:
        normed = self._norm(rows)
        gate = F.silu(self._gate(normed.numbers).mul_(normed.scales), inplace=True)
        between = gate.mul_(self._up(normed.numbers))  # but for the rows' scales
        if isinstance(self._down, _Int8OutputProjection):
            return self._down.plus(Int8Rows.of_sums(between).times(normed.scales), rows)
        found: torch.Tensor = self._down(between.mul_(normed.scales).to(rows.dtype), rows)
        return found
