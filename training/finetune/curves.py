"""Draws plots as PNG: the learning curve (losses, their running mean, validations) and the calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_WINDOW = 20
"""Steps of the running mean."""


def draw_curve(path: Path, losses: Sequence[float], validations: Sequence[Mapping[str, Any]]) -> None:
    """Draws the learning curve; overwrites `path`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    steps = range(1, len(losses) + 1)
    means = [sum(recent) / len(recent) for recent in (losses[max(0, n - _WINDOW) : n] for n in steps)]
    axes.plot(steps, losses, color="0.8", linewidth=0.8, label="a step")
    axes.plot(steps, means, color="tab:blue", label=f"mean of {_WINDOW} steps")
    if validations:
        axes.plot(
            [validation["step"] for validation in validations],
            [validation["loss"] for validation in validations],
            "o-",
            color="tab:orange",
            label="validation",
        )
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    axes.legend()
    figure.savefig(path, dpi=120)


def draw_calibration(path: Path, figures: Mapping[str, Any]) -> None:
    """Draws the calibration plot; overwrites `path`. `figures` as in
    `training.evaluation.metrics.calibration_error.figures`."""
    from matplotlib.figure import Figure

    predicted, right, counts = zip(*figures["bins"], strict=True) if figures["bins"] else ((), (), ())
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.8", label="honest")
    axes.plot(
        predicted, right, "o-", color="tab:blue", label=f"expected error {figures['expected_error']:.2f}"
    )
    for probability, share, count in zip(predicted, right, counts, strict=True):
        axes.annotate(
            f"{count}", (probability, share), xytext=(6, -12), textcoords="offset points", color="0.4"
        )
    axes.set(xlabel="predicted probability", ylabel="share strictly correct", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left")
    figure.savefig(path, dpi=120)
