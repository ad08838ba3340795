"""The engine's throughput against the number of branches that write, and against the length of notes.

    python -m benchmarks.sweep --notes notes.jsonl --output results.jsonl
    python -m benchmarks.machine.plots results.jsonl --output docs/performance.svg

Writing: tokens a second of steps that give each of 1 to 64 lists one token more, the best of --rounds in
turn (the network's part; guessed tokens, which only add, are left out). Notes: entities, one search and a
summary of notes cut to so many words, decided through the worker's pipeline side by side, --sample of each
length. A line of JSON a point. Takes some minutes with the embedded weights.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.comparison.comparison_report import describe_machine
from benchmarks.comparison.workload import BenchmarkPrompt, read_notes
from benchmarks.machine.engine_steps import BenchmarkModel
from benchmarks.machine.machine_peaks import Probe
from benchmarks.peers.notemill_engine import NotemillPipeline
from benchmarks.roofline import prefix_texts
from models.settings import Settings, load_settings
from worker.engine.api import Prompt

BRANCHES = (1, 2, 4, 8, 16, 32, 64)
WORDS = (100, 200, 400, 800, 1_600)


def writing(settings: Settings, branches: Sequence[int], rounds: int) -> Iterator[dict[str, Any]]:
    """Tokens a second by number of branches."""
    network = BenchmarkModel.load(settings)
    probes = []
    for number in branches:
        batch = network.decode_batch(prefix_texts(network, number), number, settings)
        probes.append(Probe(str(number), number, lambda batch=batch: network.runner.run(batch)))  # type: ignore[misc]
        probes[-1].run()
    for _ in range(rounds):
        for probe in probes:
            probe.time(network.device)
    for number, probe in zip(branches, probes, strict=True):
        yield {
            "kind": "writing",
            "branches": number,
            "tokens_per_second": round(probe.best, 1),
            "tokens_per_second_median": round(probe.median, 1),
        }


def deciding(
    settings: Settings, texts: Sequence[str], words: Sequence[int], sample: int
) -> Iterator[dict[str, Any]]:
    """Notes an hour by length; a note that is too short is followed by the next ones, until it is not."""
    cut = {number: [_cut(texts, first, number) for first in range(sample)] for number in words}
    ours = NotemillPipeline(settings, [text for some in cut.values() for text in some])
    ours.prepare([])
    try:
        for place, number in enumerate(words):
            asked = [_note(place * sample + one) for one in range(sample)]
            began = time.perf_counter()
            ours.answer(asked)
            seconds = time.perf_counter() - began
            yield {"kind": "notes", "words": number, "notes_per_hour": round(sample * 3_600 / seconds, 1)}
    finally:
        ours.close()


def _cut(texts: Sequence[str], first: int, num_words: int) -> str:
    """So many words from the `first`-th text on, white space as it is."""
    found, rest, place = "", num_words, first
    while rest > 0:
        chunks = texts[place % len(texts)].split(" ")
        found += " ".join(chunks[:rest]) + "\n\n"
        rest -= len(chunks)
        place += 1
    return found.strip()


def _note(number: int) -> BenchmarkPrompt:
    """All that is taken of it is which note it is."""
    return BenchmarkPrompt(number, "", Prompt("", ""), 0, "")


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--notes", type=Path, required=True, help="JSON lines with a field `text`")
    parser.add_argument("--output", type=Path, required=True, help="JSON lines, written over")
    parser.add_argument("--rounds", type=int, default=5, help="of writing, in turn (default: 5)")
    parser.add_argument("--sample", type=int, default=8, help="notes of each length (default: 8)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    given = _options()
    effective = load_settings()
    here = describe_machine(torch.get_num_threads())
    with given.output.open("w", encoding="utf-8") as file:
        for points in (
            writing(effective, BRANCHES, given.rounds),
            deciding(effective, read_notes(given.notes, 4 * given.sample), WORDS, given.sample),
        ):
            for point in points:
                print(json.dumps(point), file=sys.stderr, flush=True)
                file.write(json.dumps(point | here) + "\n")
