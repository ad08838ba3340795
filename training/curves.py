"""The learning curve as a PNG: each step's loss, their running mean, and the validations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_WINDOW = 20
"""Steps of the running mean."""


def draw_curve(path: Path, losses: Sequence[float], validations: Sequence[Mapping[str, Any]]) -> None:
    """Overwrites `path`. Needs no display."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    steps = range(1, len(losses) + 1)
    means = [sum(some) / len(some) for some in (losses[max(0, n - _WINDOW) : n] for n in steps)]
    axes.plot(steps, losses, color="0.8", linewidth=0.8, label="a step")
    axes.plot(steps, means, color="tab:blue", label=f"mean of {_WINDOW} steps")
    if validations:
        axes.plot(
            [one["step"] for one in validations],
            [one["loss"] for one in validations],
            "o-",
            color="tab:orange",
            label="validation",
        )
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    axes.legend()
    figure.savefig(path, dpi=120)
