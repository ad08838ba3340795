"""Figures as they are told: rounded, and as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

NamedFigures = Iterator[tuple[str, Any]]
"""Names and figures, as they become known."""


def mib(num_bytes: float) -> float:
    return round(num_bytes / 2**20, 1)


def four_digits(number: float) -> float:
    """Four figures."""
    return float(f"{number:.4g}")


def format_figure(value: Any) -> str:
    if isinstance(value, Mapping):
        return "  ".join(f"{name} {format_figure(one)}" for name, one in value.items())
    return f"{value:,}" if isinstance(value, int | float) else str(value)
