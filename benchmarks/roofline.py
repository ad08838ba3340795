"""Share of this machine's matrix-product and memory peaks that the engine reaches (roofline model).

    python -m benchmarks.roofline
    python -m benchmarks.roofline --seconds 40 --json

In the roofline model (Williams, Waterman, Patterson 2009, CACM 52(4)) work is limited by the processor's peak
and by memory bandwidth. Both are measured here, in turn with real forward batches of the engine on the
example notes. The best run of each counts; the medians, which include other load on the machine, are printed
too.

prefill_fraction: for batches of about 2,048 tokens (one for scoring with the adapter, one for generation) the
time of their operations at the best measured product, in bf16 or int8 as computed, over the time they took.
decode_fraction: the time of weights, keys and values at the measured bandwidth, or of the operations at the
peak, whichever is longer, over the time of a batch with 32 decoding sequences; also with 1 and 8. Only the
network is timed; grammars and scheduling are in `notemill run --explain`.

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
    TimedProbe,
    best_median,
    fastest,
    int8_products,
    matrix_products,
    memory_traffic,
)
from benchmarks.machine.token_counts import note_of_length
from benchmarks.roofline_table import roofline_table
from models.settings import Settings, load_settings
from worker.engine.batching.scheduler import MAX_FORWARD_TOKENS

SEQUENCES = (1, 8, 32)
HEADLINE = 32
PREFIX_TEXT_TOKENS = 470
"""A prefix has about 500 tokens with the chat template."""
NOTES = 6
NOTE_TOKENS = 900
MIN_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class RooflineProbes:
    """All timed operations and batches."""

    bf16: Sequence[TimedProbe]
    fp32: Sequence[TimedProbe]
    memory: Sequence[TimedProbe]
    int8: Sequence[TimedProbe]
    """Empty on a GPU."""
    prefill: Sequence[TimedProbe]
    """Probes whose work is floating-point operations."""
    prefill_int8_flops: Mapping[str, float]
    """Operations of these batches that are computed in int8, by name."""
    decode: Mapping[int, TimedProbe]
    """Probes by number of decoding sequences, whose work is floating-point operations."""
    decode_bytes: Mapping[int, float]


def measure_roofline(
    settings: Settings,
    *,
    seconds: float,
    sequences: Sequence[int] = SEQUENCES,
    square: int = SQUARE,
    array_bytes: int = ARRAY_BYTES,
) -> RooflineProbes:
    """Runs everything in turn: once to warm up, then for `seconds`, at least three rounds."""
    _report("loading the weights")
    network = BenchmarkModel.load(settings)
    shape, device = network.shape, network.device
    notes = [note_of_length(network.chat, NOTE_TOKENS, number=number) for number in range(NOTES)]
    texts = prefix_texts(network, max(sequences))
    batches = {number: network.decode_batch(texts, number, settings) for number in sequences}
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
    """Fractions of the measured peaks, from the best runs and from the medians."""
    decode = {
        number: (
            _decode_fraction(measured, number, is_best=True),
            _decode_fraction(measured, number, is_best=False),
        )
        for number in measured.decode
    }
    headline = HEADLINE if HEADLINE in decode else max(decode)
    best, median = (
        _prefill_fraction(measured, measured.prefill, is_best=is_best) for is_best in (True, False)
    )
    return {
        "prefill_fraction": best,
        "prefill_fraction_median": median,
        "prefill_fractions": {
            probe.name: _prefill_fraction(measured, [probe], is_best=True) for probe in measured.prefill
        },
        "decode_fraction": decode[headline][0],
        "decode_fraction_median": decode[headline][1],
        "decode_fractions": {str(number): fraction for number, (fraction, _) in decode.items()},
        "decode_fractions_median": {str(number): fraction for number, (_, fraction) in decode.items()},
        "rounds": len(measured.prefill[0].seconds),
        "bf16_gflops": _rates(measured.bf16),
        "8-bit_gflops": _rates(measured.int8),
        "fp32_gflops": _rates(measured.fp32),
        "memory_gb_per_second": _rates(measured.memory),
        "step_gflops": _rates([*measured.prefill, *measured.decode.values()]),
        "step_milliseconds": {
            probe.name: round(min(probe.seconds) * 1e3, 2)
            for probe in (*measured.prefill, *measured.decode.values())
        },
        "decode_gb_per_second": {
            str(number): round(measured.decode_bytes[number] / min(probe.seconds) / 1e9, 2)
            for number, probe in measured.decode.items()
        },
    }


def prefix_texts(network: BenchmarkModel, num_sequences: int) -> list[str]:
    """Texts for `num_sequences` sequences, four of each text."""
    number = -(-num_sequences // SEQUENCES_PER_PREFIX)
    # The lengths differ, so that no two texts share a prefix.
    return [note_of_length(network.chat, PREFIX_TEXT_TOKENS + index, number=index) for index in range(number)]


def _probe(network: BenchmarkModel, name: str, batch: Any) -> TimedProbe:
    return TimedProbe(name, network.batch_flops(batch), lambda: network.runner.run(batch))


def _run(measured: RooflineProbes, device: torch.device, seconds: float) -> None:
    peak_probes = [*measured.bf16, *measured.int8, *measured.fp32, *measured.memory]
    batches = [*measured.prefill, *measured.decode.values()]
    for probe in (*peak_probes, *batches):
        probe.run()
    began, rounds = time.monotonic(), 0
    while rounds < MIN_ROUNDS or time.monotonic() - began < seconds:
        for batch in batches:
            for probe in (*peak_probes, batch):
                probe.time(device)
        rounds += 1
        _report(f"round {rounds}, {time.monotonic() - began:.0f} s")


def _prefill_fraction(measured: RooflineProbes, prefill: Sequence[TimedProbe], *, is_best: bool) -> float:
    """Seconds of the batches' operations at the measured peaks over the batches' seconds."""
    rate = fastest if is_best else best_median
    seconds = sum(probe.work / (probe.best if is_best else probe.median) for probe in prefill)
    eight = {probe.name: measured.prefill_int8_flops[probe.name] for probe in prefill}
    least = sum(probe.work - eight[probe.name] for probe in prefill) / rate(measured.bf16)
    if any(eight.values()):
        least += sum(eight.values()) / rate(measured.int8)
    return round(least / seconds, 4)


def _decode_fraction(measured: RooflineProbes, number: int, *, is_best: bool) -> float:
    """max(bytes / bandwidth, FLOP / peak) / seconds of the batch."""
    batch, rate = measured.decode[number], fastest if is_best else best_median
    from_memory = measured.decode_bytes[number] / rate(measured.memory)
    seconds = batch.work / (batch.best if is_best else batch.median)
    return round(max(from_memory, batch.work / rate(measured.bf16)) / seconds, 4)


def _rates(probes: Sequence[TimedProbe]) -> dict[str, tuple[float, float]]:
    """Best and median rate of each probe, in 10^9 a second."""
    return {probe.name: (round(probe.best / 1e9, 2), round(probe.median / 1e9, 2)) for probe in probes}


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.roofline",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="time to measure, at least 3 rounds (default: 30)"
    )
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="threads of torch (default: all)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
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
