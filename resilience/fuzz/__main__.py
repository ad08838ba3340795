"""Fuzzes everything that reads external input with malformed inputs.

    python -m resilience.fuzz --inputs 10000 --seed 1
    python -m resilience.fuzz --inputs 2000 --only notes.csv --only page.html --json

Targets: every reader of notes; settings, labels, plans, annotations, training data and answers of a server;
random answers of a network through the parser, the store and every export; and the queue of a real worker.
Each target runs in its own process with limited memory, each input with a time limit. A failure is an
exception other than a message for the operator, a refusal that quotes the note, a process that dies, or an
exceeded limit. The last line is JSON; exit status 1 when an input failed. --only, --seed and --first
reproduce an input.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from resilience.fuzz.input_check import FuzzFigures, FuzzTarget, run_inputs

_SHOWN_FAILURES = 20


def main(arguments: list[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    report = (lambda _line: None) if given.json else (lambda line: print(line, flush=True))
    began = time.monotonic()
    by_target: dict[str, FuzzFigures] = {}
    with tempfile.TemporaryDirectory(prefix="nm-fuzz-") as name:
        targets = _selected_targets(Path(name), given.only)
        inputs_per_share = given.inputs / sum(target.share for target in targets)
        for target in targets:
            count = max(1, round(inputs_per_share * target.share))
            numbers = range(given.first, given.first + count)
            by_target[target.name] = _run_in_process(target, given.seed, numbers, Path(name))
            report(_line(target.name, count, by_target[target.name]))
    failures = [line for figures in by_target.values() for line in figures.failures]
    for line in failures[:_SHOWN_FAILURES]:
        print(line, file=sys.stderr)
    print(json.dumps(_figures(by_target, given.seed, time.monotonic() - began)))
    return int(bool(failures))


def _selected_targets(folder: Path, only: list[str]) -> list[FuzzTarget]:
    from resilience.fuzz.answer_fuzzing import answer_target
    from resilience.fuzz.queue_fuzzing import queue_target
    from resilience.fuzz.reader_targets import reader_targets

    targets = (*reader_targets(folder), answer_target(folder), queue_target())
    by_name = {target.name: target for target in targets}
    if unknown := sorted(set(only) - set(by_name)):
        raise SystemExit(f"unknown target: {', '.join(unknown)}; choose from {', '.join(by_name)}")
    return [target for name, target in by_name.items() if not only or name in only]


def _run_in_process(target: FuzzTarget, seed: int, numbers: range, folder: Path) -> FuzzFigures:
    """Figures of all inputs. When the process dies, its input fails and a new process runs the rest."""
    scratch = folder / target.name
    scratch.mkdir()
    total, remaining = FuzzFigures(), numbers
    while remaining:
        receiver, sender = multiprocessing.get_context("fork").Pipe(duplex=False)
        process = multiprocessing.get_context("fork").Process(
            target=lambda remaining=remaining, sender=sender: sender.send(
                run_inputs(target, seed, remaining, scratch)
            )
        )
        process.start()
        sender.close()
        try:
            part, remaining = receiver.recv(), range(0)
        except EOFError:
            process.join()
            number = int((scratch / "number").read_text())
            part = FuzzFigures(Counter({"failed": 1, "lost count": number - remaining.start}))
            part.failures.append(f"{target.name} {number}: the process died ({process.exitcode})")
            remaining = range(number + 1, remaining.stop)
        process.join()
        _add(total, part)
    return total


def _add(total: FuzzFigures, part: FuzzFigures) -> None:
    total.outcomes += part.outcomes
    total.failures += part.failures
    total.slowest_seconds = max(total.slowest_seconds, part.slowest_seconds)
    total.peak_mib = max(total.peak_mib, part.peak_mib)


def _line(name: str, count: int, figures: FuzzFigures) -> str:
    outcomes = ", ".join(f"{outcome} {number:,}" for outcome, number in figures.outcomes.most_common())
    slowest = f"slowest {figures.slowest_seconds:.2f} s, {figures.peak_mib:,} MiB"
    return f"{name:26} {count:6,} inputs: {outcomes}; {slowest}"


def _figures(by_target: dict[str, FuzzFigures], seed: int, seconds: float) -> dict[str, Any]:
    outcomes: Counter[str] = sum((figures.outcomes for figures in by_target.values()), Counter())
    return {
        "inputs": outcomes.total(),
        "kinds": len(by_target),
        "outcomes": dict(outcomes),
        "failures": outcomes["failed"],
        "slowest_seconds": round(max(figures.slowest_seconds for figures in by_target.values()), 2),
        "peak_mib": max(figures.peak_mib for figures in by_target.values()),
        "seed": seed,
        "seconds": round(seconds, 1),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m resilience.fuzz",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--inputs", type=int, default=10_000, help="inputs of all targets together (default 10000)"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of all inputs (default 1)")
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first input of each target (default 0)"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="KIND", help="a target; can be repeated"
    )
    parser.add_argument("--json", action="store_true", help="print only the last line")
    return parser


if __name__ == "__main__":
    sys.exit(main())
