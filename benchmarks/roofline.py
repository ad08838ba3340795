"""How much of this machine the engine uses: its steps beside the machine's own products and memory.

    python -m benchmarks.roofline
    python -m benchmarks.roofline --seconds 40 --json

The roofline model (Williams, Waterman, Patterson 2009, CACM 52(4)): work can be done no faster than the
processor multiplies and than memory brings what is multiplied. Both are measured here, in turn with real
steps of the engine on its own prompts over the example notes, and the best run of each counts (medians
stand beside it: what others take of a shared machine is in them).

prefill_fraction: of steps that read about 2,048 tokens (one that decides with the adapter, one that asks for
writing) the time that their operations take at the pace of the best product, in bf16 or, where products are
made in 8 bits, in those, over the time that they took. decode_fraction: the time that
weights, keys and values take at the measured bandwidth, or the operations at the measured peak, whichever
is longer, over a step's time with 32 branches writing; also with 1 and 8. Steps are the network's part:
grammars and scheduling run beside it and are in `notemill run --explain`.

Uses the weights of the effective settings. Takes under a minute and 2 GB with the embedded ones.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.comparison.comparison_report import describe_machine
from benchmarks.machine.engine_steps import SEQUENCES_PER_PREFIX, BenchmarkModel
from benchmarks.machine.machine_peaks import (
    ARRAY_BYTES,
    SQUARE,
    Probe,
    best_median,
    fastest,
    int8_products,
    matrix_products,
    memory_traffic,
)
from benchmarks.machine.token_counts import note_of_length
from models.settings import Settings, load_settings
from worker.engine.batching.scheduler import MAX_FORWARD_TOKENS

BRANCHES = (1, 8, 32)
HEADLINE = 32
BEGINNING_TOKENS = 470
"""Of the text; with chat format and template a beginning has about 500."""
NOTES = 6
NOTE_TOKENS = 900
FEWEST_ROUNDS = 3
TARGET = 0.5


@dataclass(frozen=True, slots=True)
class RooflineProbes:
    """Everything that was run, with its times."""

    bf16: Sequence[Probe]
    fp32: Sequence[Probe]
    memory: Sequence[Probe]
    int8: Sequence[Probe]
    """None on a GPU."""
    prefill: Sequence[Probe]
    """Work: floating-point operations."""
    prefill_int8_flops: Mapping[str, float]
    """How much of that is done in 8 bits, by name."""
    decode: Mapping[int, Probe]
    """By the number of branches; work: floating-point operations."""
    decode_bytes: Mapping[int, float]


def measure_roofline(
    settings: Settings,
    *,
    seconds: float,
    branches: Sequence[int] = BRANCHES,
    square: int = SQUARE,
    array_bytes: int = ARRAY_BYTES,
) -> RooflineProbes:
    """Runs all of it in turn, once to warm up, then until the seconds are over, three times at least."""
    _tell("loads the weights")
    network = BenchmarkModel.load(settings)
    shape, device = network.shape, network.device
    notes = [note_of_length(network.chat, NOTE_TOKENS, number=number) for number in range(NOTES)]
    texts = prefix_texts(network, max(branches))
    batches = {number: network.decode_batch(texts, number, settings) for number in branches}
    prefill = {
        "decides": network.scoring_batch(notes, settings),
        "asks": network.generation_batch(notes, settings),
    }
    measured = RooflineProbes(
        bf16=matrix_products(shape, MAX_FORWARD_TOKENS, torch.bfloat16, device, square),
        fp32=matrix_products(shape, MAX_FORWARD_TOKENS, torch.float32, device, square),
        memory=memory_traffic(shape, torch.bfloat16, device, array_bytes),
        int8=int8_products(shape, MAX_FORWARD_TOKENS, square) if device.type == "cpu" else (),
        prefill=[_probe(network, name, batch) for name, batch in prefill.items()],
        prefill_int8_flops={name: network.int8_flops(batch) for name, batch in prefill.items()},
        decode={number: _probe(network, f"writes {number}", batch) for number, batch in batches.items()},
        decode_bytes={number: network.batch_bytes(batch) for number, batch in batches.items()},
    )
    _run(measured, device, seconds)
    return measured


def roofline_figures(measured: RooflineProbes) -> dict[str, Any]:
    """Fractions of what the machine can do, from the best runs and from the medians."""
    found = {
        number: (
            _decode_fraction(measured, number, is_best=True),
            _decode_fraction(measured, number, is_best=False),
        )
        for number in measured.decode
    }
    headline = HEADLINE if HEADLINE in found else max(found)
    best, median = (_prefill_fraction(measured, measured.prefill, is_best=one) for one in (True, False))
    return {
        "prefill_fraction": best,
        "prefill_fraction_median": median,
        "prefill_fractions": {
            one.name: _prefill_fraction(measured, [one], is_best=True) for one in measured.prefill
        },
        "decode_fraction": found[headline][0],
        "decode_fraction_median": found[headline][1],
        "decode_fractions": {str(number): one for number, (one, _) in found.items()},
        "decode_fractions_median": {str(number): one for number, (_, one) in found.items()},
        "rounds": len(measured.prefill[0].seconds),
        "bf16_gflops": _rates(measured.bf16),
        "8-bit_gflops": _rates(measured.int8),
        "fp32_gflops": _rates(measured.fp32),
        "memory_gb_per_second": _rates(measured.memory),
        "step_gflops": _rates([*measured.prefill, *measured.decode.values()]),
        "step_milliseconds": {
            one.name: round(min(one.seconds) * 1e3, 2)
            for one in (*measured.prefill, *measured.decode.values())
        },
        "decode_gb_per_second": {
            str(number): round(measured.decode_bytes[number] / min(one.seconds) / 1e9, 2)
            for number, one in measured.decode.items()
        },
    }


def roofline_table(found: Mapping[str, Any]) -> str:
    """The same for people."""
    lines = [
        f"{found['date']}, {found['processor']}, {found['threads']} threads, {found['rounds']} rounds",
        "",
    ]
    for name, unit in (
        ("bf16_gflops", "GFLOP/s"),
        ("8-bit_gflops", "GFLOP/s"),
        ("fp32_gflops", "GFLOP/s"),
        ("memory_gb_per_second", "GB/s"),
    ):
        lines.append(f"{name.partition('_')[0]:<34}{'best':>9}{'median':>9}  {unit}")
        lines += [f"  {one:<32}{best:>9,.1f}{median:>9,.1f}" for one, (best, median) in found[name].items()]
    lines += ["", f"{'step of the engine':<20}{'ms':>9}{'GFLOP/s':>9}{'GB/s':>7}{'fraction':>10}"]
    for name, milliseconds in found["step_milliseconds"].items():
        number = name.rpartition(" ")[2]
        fraction = found["prefill_fractions"].get(name) or found["decode_fractions"][number]
        bandwidth = found["decode_gb_per_second"].get(number, "")
        pace = found["step_gflops"][name][0]
        lines.append(f"  {name:<18}{milliseconds:>9,.1f}{pace:>9,.1f}{bandwidth:>7}{fraction:>10.2f}")
    prefill, decode = (
        (found[f"{one}_fraction"], found[f"{one}_fraction_median"]) for one in ("prefill", "decode")
    )
    lines += [
        "",
        f"prefill {prefill[0]:.2f} of the products' peak (of medians {prefill[1]:.2f}; wanted: {TARGET})",
        f"decode {decode[0]:.2f} of what memory and processor allow (of medians {decode[1]:.2f})",
    ]
    return "\n".join(lines)


def prefix_texts(network: BenchmarkModel, num_branches: int) -> list[str]:
    """Texts for so many branches, four of each."""
    number = -(-num_branches // SEQUENCES_PER_PREFIX)
    # Different lengths: no two texts may be one beginning.
    return [note_of_length(network.chat, BEGINNING_TOKENS + one, number=one) for one in range(number)]


def _probe(network: BenchmarkModel, name: str, batch: Any) -> Probe:
    return Probe(name, network.batch_flops(batch), lambda: network.runner.run(batch))


def _run(measured: RooflineProbes, device: torch.device, seconds: float) -> None:
    limits = [*measured.bf16, *measured.int8, *measured.fp32, *measured.memory]
    batches = [*measured.prefill, *measured.decode.values()]
    for one in (*limits, *batches):
        one.run()
    began, rounds = time.monotonic(), 0
    while rounds < FEWEST_ROUNDS or time.monotonic() - began < seconds:
        for batch in batches:
            for one in (*limits, batch):
                one.time(device)
        rounds += 1
        _tell(f"round {rounds}, {time.monotonic() - began:.0f} s")


def _prefill_fraction(measured: RooflineProbes, prefill: Sequence[Probe], *, is_best: bool) -> float:
    """Seconds that the steps' operations take at the peaks, over the steps' seconds."""
    rate = fastest if is_best else best_median
    seconds = sum(one.work / (one.best if is_best else one.median) for one in prefill)
    eight = {one.name: measured.prefill_int8_flops[one.name] for one in prefill}
    least = sum(one.work - eight[one.name] for one in prefill) / rate(measured.bf16)
    if any(eight.values()):
        least += sum(eight.values()) / rate(measured.int8)
    return round(least / seconds, 4)


def _decode_fraction(measured: RooflineProbes, number: int, *, is_best: bool) -> float:
    """max(bytes / bandwidth, FLOP / peak) / seconds of the step: its place under the roof."""
    batch, rate = measured.decode[number], fastest if is_best else best_median
    from_memory = measured.decode_bytes[number] / rate(measured.memory)
    seconds = batch.work / (batch.best if is_best else batch.median)
    return round(max(from_memory, batch.work / rate(measured.bf16)) / seconds, 4)


def _rates(probes: Sequence[Probe]) -> dict[str, tuple[float, float]]:
    """Best and median, in 10^9 a second."""
    return {one.name: (round(one.best / 1e9, 2), round(one.median / 1e9, 2)) for one in probes}


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.roofline",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="of measuring, 3 rounds at least (30)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch (all)")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    given = _options()
    torch.set_num_threads(given.threads)
    figures = describe_machine(given.threads) | roofline_figures(
        measure_roofline(load_settings(), seconds=given.seconds)
    )
    print(roofline_table(figures))
    if given.json:
        print(json.dumps(figures))
