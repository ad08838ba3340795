"""Rounding and text format of figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

NamedFigures = Iterator[tuple[str, Any]]
"""Names and figures of a part, yielded as they are measured."""


def mib(num_bytes: float) -> float:
    return round(num_bytes / 2**20, 1)


def four_digits(number: float) -> float:
    """The number rounded to four significant digits."""
    return float(f"{number:.4g}")


def format_figure(value: Any) -> str:
    if isinstance(value, Mapping):
        return "  ".join(f"{name} {format_figure(figure)}" for name, figure in value.items())
    return f"{value:,}" if isinstance(value, int | float) else str(value)
