"""Throughput of the engine by number of decoding sequences, and by length of notes.

    python -m benchmarks.sweep --notes notes.jsonl --output sweep.jsonl
    python -m benchmarks.machine.plots sweep.jsonl --output throughput.png

Decoding: tokens a second of forward passes that add one token to each of 1 to 64 lists, the best of --rounds
alternating rounds. Only the network is timed, without draft tokens. Notes: entities, one search and a summary
of notes cut to a number of words, scored through the worker's pipeline, --sample notes of each length at
once. Writes one line of JSON a point. Takes some minutes with the embedded weights.
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
from benchmarks.machine.machine_peaks import TimedProbe
from benchmarks.peers.notemill_engine import NotemillPipeline
from benchmarks.roofline import prefix_texts
from models.settings import Settings, load_settings
from worker.engine.api import Prompt

SEQUENCES = (1, 2, 4, 8, 16, 32, 64)
WORDS = (100, 200, 400, 800, 1_600)


def sweep_decoding(settings: Settings, sequences: Sequence[int], rounds: int) -> Iterator[dict[str, Any]]:
    """Tokens a second by number of decoding sequences."""
    network = BenchmarkModel.load(settings)
    probes = []
    for number in sequences:
        batch = network.decode_batch(prefix_texts(network, number), number, settings)
        probes.append(TimedProbe(str(number), number, lambda batch=batch: network.runner.run(batch)))  # type: ignore[misc]
        probes[-1].run()
    for _ in range(rounds):
        for probe in probes:
            probe.time(network.device)
    for number, probe in zip(sequences, probes, strict=True):
        yield {
            "kind": "writing",
            "branches": number,
            "tokens_per_second": round(probe.best, 1),
            "tokens_per_second_median": round(probe.median, 1),
        }


def sweep_note_lengths(
    settings: Settings, texts: Sequence[str], words: Sequence[int], sample: int
) -> Iterator[dict[str, Any]]:
    """Notes an hour by length in words. Short notes are joined until they are long enough."""
    cut = {number: [_cut(texts, first, number) for first in range(sample)] for number in words}
    pipeline = NotemillPipeline(settings, [text for of_length in cut.values() for text in of_length])
    pipeline.prepare([])
    try:
        for index, number in enumerate(words):
            prompts = [_prompt_of_note(index * sample + offset) for offset in range(sample)]
            began = time.perf_counter()
            pipeline.answer(prompts)
            seconds = time.perf_counter() - began
            yield {"kind": "notes", "words": number, "notes_per_hour": round(sample * 3_600 / seconds, 1)}
    finally:
        pipeline.close()


def _cut(texts: Sequence[str], first: int, num_words: int) -> str:
    """`num_words` words from the `first`-th text on; white space stays as it is."""
    joined, missing, index = "", num_words, first
    while missing > 0:
        words = texts[index % len(texts)].split(" ")
        joined += " ".join(words[:missing]) + "\n\n"
        missing -= len(words)
        index += 1
    return joined.strip()


def _prompt_of_note(number: int) -> BenchmarkPrompt:
    """A prompt without text: the pipeline reads only the number of the note from it."""
    return BenchmarkPrompt(number, "", Prompt("", ""), 0, "")


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--notes", type=Path, required=True, help="JSON lines with a field `text`")
    parser.add_argument("--output", type=Path, required=True, help="JSON lines; overwritten")
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds of decoding (default: 5)")
    parser.add_argument("--sample", type=int, default=8, help="notes of each length (default: 8)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    given = _options()
    effective = load_settings()
    here = describe_machine(torch.get_num_threads())
    with given.output.open("w", encoding="utf-8") as file:
        for points in (
            sweep_decoding(effective, SEQUENCES, given.rounds),
            sweep_note_lengths(effective, read_notes(given.notes, 4 * given.sample), WORDS, given.sample),
        ):
            for point in points:
                print(json.dumps(point), file=sys.stderr, flush=True)
                file.write(json.dumps(point | here) + "\n")
