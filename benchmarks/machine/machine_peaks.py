"""Measured peaks of this machine: matrix products and memory traffic.

Rates are work / seconds. Other load changes a machine's speed from second to second, so probes alternate with
what is compared, and each keeps its best and its median.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  the name that torch's documentation uses

from worker.engine.memory.model_shape import ModelShape
from worker.engine.network import int8_layers

SQUARE = 2_048
"""Side of the square product: 17 GFLOP; larger ones are no faster on a CPU."""
ARRAY_BYTES = 256 * 2**20
"""Bytes read or copied: several times a processor's cache, as many as the embedded weights take in bf16."""


@dataclass(slots=True)
class TimedProbe:
    """An operation that is run and timed repeatedly."""

    name: str
    work: float
    """Floating-point operations or bytes of one run."""
    run: Callable[[], Any]
    seconds: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        """Work a second of the fastest run."""
        return self.work / min(self.seconds)

    @property
    def median(self) -> float:
        return self.work / statistics.median(self.seconds)

    def time(self, device: torch.device) -> None:
        """Runs once more and keeps the seconds."""
        started = time.perf_counter()
        self.run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        self.seconds.append(time.perf_counter() - started)


def matrix_products(
    shape: ModelShape, num_tokens: int, dtype: torch.dtype, device: torch.device, square: int = SQUARE
) -> list[TimedProbe]:
    """Probes of a square product and of one layer's fused products: 2 x tokens x inputs x outputs FLOP."""
    return [_product(name, *size, dtype, device) for name, size in _sizes(shape, num_tokens, square).items()]


def int8_products(shape: ModelShape, num_tokens: int, square: int = SQUARE) -> list[TimedProbe]:
    """The same products by `worker.engine.network.int8_layers` on a CPU, without rounding and scaling."""
    return [_int8_product(name, *size) for name, size in _sizes(shape, num_tokens, square).items()]


def memory_traffic(
    shape: ModelShape, dtype: torch.dtype, device: torch.device, num_bytes: int = ARRAY_BYTES
) -> list[TimedProbe]:
    """Probes of uncached bytes: a sum, a copy (read and written), and a layer's MLP on one token.

    Counted as STREAM does, without what a cache fetches before it overwrites a line.
    """
    array = torch.ones(num_bytes // 4, device=device)
    other = torch.empty_like(array)
    inputs, outputs = shape.hidden, 2 * shape.intermediate
    width = torch.empty((), dtype=dtype).element_size()
    number = max(1, num_bytes // (width * inputs * outputs))
    weights = torch.randn(number, outputs, inputs, device=device).to(dtype)
    token = torch.randn(1, inputs, device=device).to(dtype)
    return [
        TimedProbe("sum", array.nbytes, lambda: array.sum()),
        TimedProbe("copy", 2 * array.nbytes, lambda: other.copy_(array)),
        TimedProbe(
            "product with one token", weights.nbytes, lambda: [F.linear(token, weight) for weight in weights]
        ),
    ]


def fastest(probes: Sequence[TimedProbe]) -> float:
    """The best rate of all probes."""
    return max(probe.best for probe in probes)


def best_median(probes: Sequence[TimedProbe]) -> float:
    """The best of the probes' median rates."""
    return max(probe.median for probe in probes)


def _product(
    name: str, rows: int, inputs: int, outputs: int, dtype: torch.dtype, device: torch.device
) -> TimedProbe:
    tokens = torch.randn(rows, inputs, device=device).to(dtype)
    weight = torch.randn(outputs, inputs, device=device).to(dtype)
    return TimedProbe(name, 2.0 * rows * inputs * outputs, lambda: F.linear(tokens, weight))


def _int8_product(name: str, rows: int, inputs: int, outputs: int) -> TimedProbe:
    numbers = torch.randint(256, (rows, inputs), dtype=torch.uint8)
    product = int8_layers.Int8Linear(torch.randn(outputs, inputs))
    return TimedProbe(name, 2.0 * rows * inputs * outputs, lambda: product(numbers))


def _sizes(shape: ModelShape, num_tokens: int, square: int) -> dict[str, tuple[int, int, int]]:
    query, keys = shape.heads * shape.head_size, shape.key_value_heads * shape.head_size
    return {
        f"{square} x {square} x {square}": (square, square, square),
        "queries, keys and values": (num_tokens, shape.hidden, query + 2 * keys),
        "attention's output": (num_tokens, query, shape.hidden),
        "gate and up": (num_tokens, shape.hidden, 2 * shape.intermediate),
        "down": (num_tokens, shape.intermediate, shape.hidden),
    }
