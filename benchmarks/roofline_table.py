"""The table of `python -m benchmarks.roofline`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TARGET = 0.5
"""The goal of prefill, as a fraction of the peak."""


def roofline_table(figures: Mapping[str, Any]) -> str:
    """The figures as a table."""
    lines = [
        f"{figures['date']}, {figures['processor']}, {figures['threads']} threads,"
        f" {figures['rounds']} rounds",
        "",
    ]
    for name, unit in (
        ("bf16_gflops", "GFLOP/s"),
        ("8-bit_gflops", "GFLOP/s"),
        ("fp32_gflops", "GFLOP/s"),
        ("memory_gb_per_second", "GB/s"),
    ):
        lines.append(f"{name.partition('_')[0]:<34}{'best':>9}{'median':>9}  {unit}")
        lines += [
            f"  {probe:<32}{best:>9,.1f}{median:>9,.1f}" for probe, (best, median) in figures[name].items()
        ]
    lines += ["", f"{'forward batch':<20}{'ms':>9}{'GFLOP/s':>9}{'GB/s':>7}{'fraction':>10}"]
    for name, milliseconds in figures["step_milliseconds"].items():
        number = name.rpartition(" ")[2]
        fraction = figures["prefill_fractions"].get(name) or figures["decode_fractions"][number]
        bandwidth = figures["decode_gb_per_second"].get(number, "")
        pace = figures["step_gflops"][name][0]
        lines.append(f"  {name:<18}{milliseconds:>9,.1f}{pace:>9,.1f}{bandwidth:>7}{fraction:>10.2f}")
    prefill, decode = (
        (figures[f"{phase}_fraction"], figures[f"{phase}_fraction_median"]) for phase in ("prefill", "decode")
    )
    lines += [
        "",
        f"prefill {prefill[0]:.2f} of the products' peak (by medians {prefill[1]:.2f}; goal {TARGET})",
        f"decode {decode[0]:.2f} of what memory and processor allow (by medians {decode[1]:.2f})",
    ]
    return "\n".join(lines)
