"""Plots the results of `python -m benchmarks.sweep`: throughput by decoding sequences and by note length.

    python -m benchmarks.machine.plots sweep.jsonl --output throughput.png

Needs matplotlib (`pip install matplotlib`). The file's extension selects the format: .svg, .png or .pdf.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Point = Mapping[str, Any]


def plot(points: Sequence[Point], output: Path) -> None:
    """Draws both plots side by side. Raises ValueError when points of a kind are missing."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    kinds = {kind: [point for point in points if point["kind"] == kind] for kind in ("writing", "notes")}
    if missing := [kind for kind, of_kind in kinds.items() if not of_kind]:
        raise ValueError(
            f"no points of {', '.join(missing)}: measure again with `python -m benchmarks.sweep`"
        )
    # A fixed salt makes the file reproducible; svg.fonttype none keeps text as text.
    mpl.rcParams.update({"svg.hashsalt": "notemill", "svg.fonttype": "none", "axes.grid": True})
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    decoding_axes, notes_axes = figure.subplots(1, 2)
    _curve(decoding_axes, kinds["writing"], "branches", "tokens_per_second", "tokens a second, all sequences")
    decoding_axes.set(xlabel="decoding sequences, one token each a forward pass")
    _curve(notes_axes, kinds["notes"], "words", "notes_per_hour", "notes an hour")
    notes_axes.set(xlabel="words a note (entities, search, summary scored)", yscale="log")
    here = points[0]
    figure.suptitle(f"{here['processor']}, {here['threads']} threads, {here['date']}", fontsize=10)
    figure.savefig(output, metadata={"Date": None} if output.suffix == ".svg" else None)


def _curve(axes: Any, points: Sequence[Point], x: str, y: str, label: str) -> None:
    ordered = sorted(points, key=lambda point: point[x])
    across, up = [point[x] for point in ordered], [point[y] for point in ordered]
    axes.plot(across, up, marker="o")
    axes.set_xscale("log", base=2)
    axes.set_xticks(across, [f"{value:,}" for value in across])
    axes.set_ylabel(label)
    for position in zip(across, up, strict=True):
        axes.annotate(f"{position[1]:,.0f}", position, textcoords="offset points", xytext=(0, 6), ha="center")
    axes.margins(0.1, 0.15)


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.machine.plots",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", type=Path, help="output of benchmarks.sweep")
    parser.add_argument(
        "--output", type=Path, required=True, help="file with the extension .svg, .png or .pdf"
    )
    return parser.parse_args(arguments)


def main(given: argparse.Namespace) -> int:
    lines = given.results.read_text("utf-8").splitlines()
    try:
        plot([json.loads(line) for line in lines], given.output)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(_options()))
