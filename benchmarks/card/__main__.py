"""Memory, speed and answers of Mistral 7B in 4 bits on one CUDA GPU, in 150 seconds.

    python -m benchmarks.card
    python -m benchmarks.card --parts memory,fits,correctness --json
    python -m benchmarks.card --shape small

Most parts use Mistral's real shapes with random values, so they need no weights. `correctness` uses the
weights of the effective settings on the CPU and on the GPU, and all parts use their tokenizer; run `notemill
weights prepare` first. A part that fails prints its traceback and the others continue. Each line is printed
as soon as it is known. --shape small runs the same code on a CPU with a small Mistral; its figures say
nothing about a GPU.

Fractions are of the GPU's own bf16 product and copy, as in benchmarks.roofline. Exit status 1 when a part
failed, 2 without a GPU.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

import torch
from transformers.utils import logging as transformers_logging

from benchmarks.card.card_setup import Card
from benchmarks.card.correctness import correctness
from benchmarks.card.engine_parts import notes, out_of_memory, scoring
from benchmarks.card.limited_memory import bytes_in_use
from benchmarks.card.memory_parts import fits, memory
from benchmarks.card.part_runner import BenchmarkPart, PartRunner
from benchmarks.card.run_sizes import REAL, SHRUNKEN
from benchmarks.card.speed_parts import cuda_graphs, decode, hardware_limits, kernels, prefill
from benchmarks.comparison.comparison_report import describe_machine
from models.settings import load_settings

SECONDS = 150.0
PARTS: Mapping[str, BenchmarkPart] = {
    "memory": BenchmarkPart(memory, 25),
    "fits": BenchmarkPart(fits, 20),
    "limits": BenchmarkPart(hardware_limits, 12),
    "prefill": BenchmarkPart(prefill, 12),
    "decode": BenchmarkPart(decode, 20),
    "recorded": BenchmarkPart(cuda_graphs, 30),
    "correctness": BenchmarkPart(correctness, 50),
    "oom": BenchmarkPart(out_of_memory, 40),
    "decides": BenchmarkPart(scoring, 25),
    "notes": BenchmarkPart(notes, 25),
    "kernels": BenchmarkPart(kernels, 8),
}
"""All parts in the order of the run, with the seconds that each may take."""


def main(arguments: Sequence[str] | None = None, parts: Mapping[str, BenchmarkPart] = PARTS) -> int:
    options = _parser(parts).parse_args(arguments)
    transformers_logging.disable_progress_bar()
    is_small = options.shape == "small"
    if not is_small and not torch.cuda.is_available():
        print("No CUDA device is available. Use --shape small for a trial run on the CPU.", file=sys.stderr)
        return 2
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    before = bytes_in_use(is_without_context=True) if device.type == "cuda" else 0
    card = Card(device, load_settings(), SHRUNKEN if is_small else REAL, before)
    name = torch.cuda.get_device_name() if card.is_cuda else "no card"
    description = {"card": name, "torch": torch.__version__, "shape": options.shape}
    run = PartRunner(
        card, description | describe_machine(torch.get_num_threads()), options.seconds, is_json=options.json
    )
    return run.run_all({name: parts[name] for name in options.parts})


def _parser(parts: Mapping[str, BenchmarkPart]) -> argparse.ArgumentParser:
    def names(given: str) -> list[str]:
        unknown = sorted(set(given.split(",")) - parts.keys())
        if unknown:
            raise argparse.ArgumentTypeError(
                f"unknown part: {', '.join(unknown)}; choose from {', '.join(parts)}"
            )
        return given.split(",")

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.card",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--parts", type=names, default=list(parts), help=f"parts out of {','.join(parts)} (default: all)"
    )
    parser.add_argument(
        "--shape", choices=("mistral-7b", "small"), default="mistral-7b", help="shapes of the network"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=SECONDS,
        help=f"time limit of all parts together (default: {SECONDS:g})",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    return parser


if __name__ == "__main__":
    sys.exit(main())
