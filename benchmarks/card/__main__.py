"""What one CUDA card makes of Mistral 7B in 4 bits with our engine: memory, speed, answers, in 150 seconds.

    python -m benchmarks.card
    python -m benchmarks.card --parts memory,fits,correctness --json
    python -m benchmarks.card --shape small

Mistral's real sizes with random values, made on the card, where no weights are needed; `correctness` takes
the effective settings' weights, on the CPU and on the card, and all parts take their tokenizer (prepare them
first: `notemill weights prepare`). A part that fails shows its traceback, and the others go on; each line is
printed as soon as it is known. --shape small is a rehearsal on a CPU with a shrunken Mistral: the same code,
figures that say nothing about a card.

Fractions are of the card's own bf16 product and copy, as in benchmarks.roofline. Exit status 1 where a part
failed, 2 without a card.
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
from benchmarks.card.speed_parts import cuda_graphs, decode, kernels, limits, prefill
from benchmarks.comparison.comparison_report import describe_machine
from models.settings import load_settings

SECONDS = 150.0
PARTS: Mapping[str, BenchmarkPart] = {
    "memory": BenchmarkPart(memory, 25),
    "fits": BenchmarkPart(fits, 20),
    "limits": BenchmarkPart(limits, 12),
    "prefill": BenchmarkPart(prefill, 12),
    "decode": BenchmarkPart(decode, 20),
    "recorded": BenchmarkPart(cuda_graphs, 30),
    "correctness": BenchmarkPart(correctness, 50),
    "oom": BenchmarkPart(out_of_memory, 40),
    "decides": BenchmarkPart(scoring, 25),
    "notes": BenchmarkPart(notes, 25),
    "kernels": BenchmarkPart(kernels, 8),
}
"""In the order in which they are run."""


def main(arguments: Sequence[str] | None = None, parts: Mapping[str, BenchmarkPart] = PARTS) -> int:
    options = _parser(parts).parse_args(arguments)
    transformers_logging.disable_progress_bar()
    is_small = options.shape == "small"
    if not is_small and not torch.cuda.is_available():
        print("there is no CUDA device here: --shape small rehearses on the CPU", file=sys.stderr)
        return 2
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    before = bytes_in_use(is_without_context=True) if device.type == "cuda" else 0
    card = Card(device, load_settings(), SHRUNKEN if is_small else REAL, before)
    name = torch.cuda.get_device_name() if card.is_cuda else "no card"
    told = {"card": name, "torch": torch.__version__, "shape": options.shape}
    run = PartRunner(
        card, told | describe_machine(torch.get_num_threads()), options.seconds, is_json=options.json
    )
    return run.all_of({one: parts[one] for one in options.parts})


def _parser(parts: Mapping[str, BenchmarkPart]) -> argparse.ArgumentParser:
    def names(given: str) -> list[str]:
        unknown = sorted(set(given.split(",")) - parts.keys())
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(parts)}")
        return given.split(",")

    found = argparse.ArgumentParser(
        prog="python -m benchmarks.card",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument("--parts", type=names, default=list(parts), help=f"some of {','.join(parts)} (all)")
    found.add_argument("--shape", choices=("mistral-7b", "small"), default="mistral-7b", help="(mistral-7b)")
    found.add_argument("--seconds", type=float, default=SECONDS, help=f"for all parts together ({SECONDS:g})")
    found.add_argument("--json", action="store_true", help="one JSON object on the last line")
    return found


if __name__ == "__main__":
    sys.exit(main())
