"""Feeds everything that reads with input that is not as it should be.

    python -m resilience.fuzz --inputs 10000 --seed 1
    python -m resilience.fuzz --inputs 2000 --only notes.csv --only page.html --json

Every reader of notes; settings, labels, plans, annotations, training data, a server's answers; a network's
answers through the parser, the store and every export; and the queue of a real worker. Each kind has a
process of its own with bounded memory, each input bounded time. A failure is an exception that is no
message for an operator, a reason that quotes a note, a dead process, too long, or too much. The last line
is JSON; exit status 1 where anything failed. --only, --seed and --first make an input again.
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
    say = (lambda _line: None) if given.json else (lambda line: print(line, flush=True))
    began = time.monotonic()
    found: dict[str, FuzzFigures] = {}
    with tempfile.TemporaryDirectory(prefix="nm-fuzz-") as name:
        chosen = _chosen(Path(name), given.only)
        each = given.inputs / sum(target.share for target in chosen)
        for target in chosen:
            count = max(1, round(each * target.share))
            numbers = range(given.first, given.first + count)
            found[target.name] = _in_a_process(target, given.seed, numbers, Path(name))
            say(_line(target.name, count, found[target.name]))
    failures = [line for figures in found.values() for line in figures.failures]
    for line in failures[:_SHOWN_FAILURES]:
        print(line, file=sys.stderr)
    print(json.dumps(_figures(found, given.seed, time.monotonic() - began)))
    return int(bool(failures))


def _chosen(folder: Path, only: list[str]) -> list[FuzzTarget]:
    from resilience.fuzz.answer_fuzzing import answer_target
    from resilience.fuzz.queue_fuzzing import queue_target
    from resilience.fuzz.reader_targets import reader_targets

    every = {one.name: one for one in (*reader_targets(folder), answer_target(folder), queue_target())}
    if unknown := sorted(set(only) - set(every)):
        raise SystemExit(f"no kind {', '.join(unknown)}; there are: {', '.join(every)}")
    return [one for name, one in every.items() if not only or name in only]


def _in_a_process(target: FuzzTarget, seed: int, numbers: range, folder: Path) -> FuzzFigures:
    """Of a process that died, what it died of; the inputs after that one in another."""
    scratch = folder / target.name
    scratch.mkdir()
    whole, left = FuzzFigures(), numbers
    while left:
        ours, theirs = multiprocessing.get_context("fork").Pipe(duplex=False)
        process = multiprocessing.get_context("fork").Process(
            target=lambda left=left, theirs=theirs: theirs.send(run_inputs(target, seed, left, scratch))
        )
        process.start()
        theirs.close()
        try:
            part, left = ours.recv(), range(0)
        except EOFError:
            process.join()
            number = int((scratch / "number").read_text())
            part = FuzzFigures(Counter({"failed": 1, "lost count": number - left.start}))
            part.failures.append(f"{target.name} {number}: the process died ({process.exitcode})")
            left = range(number + 1, left.stop)
        process.join()
        _add(whole, part)
    return whole


def _add(whole: FuzzFigures, part: FuzzFigures) -> None:
    whole.outcomes += part.outcomes
    whole.failures += part.failures
    whole.slowest_seconds = max(whole.slowest_seconds, part.slowest_seconds)
    whole.peak_mib = max(whole.peak_mib, part.peak_mib)


def _line(name: str, count: int, figures: FuzzFigures) -> str:
    outcomes = ", ".join(f"{outcome} {number:,}" for outcome, number in figures.outcomes.most_common())
    slowest = f"slowest {figures.slowest_seconds:.2f} s, {figures.peak_mib:,} MiB"
    return f"{name:26} {count:6,} inputs: {outcomes}; {slowest}"


def _figures(found: dict[str, FuzzFigures], seed: int, seconds: float) -> dict[str, Any]:
    outcomes: Counter[str] = sum((figures.outcomes for figures in found.values()), Counter())
    return {
        "inputs": outcomes.total(),
        "kinds": len(found),
        "outcomes": dict(outcomes),
        "failures": outcomes["failed"],
        "slowest_seconds": round(max(figures.slowest_seconds for figures in found.values()), 2),
        "peak_mib": max(figures.peak_mib for figures in found.values()),
        "seed": seed,
        "seconds": round(seconds, 1),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m resilience.fuzz",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--inputs", type=int, default=10_000, help="of all kinds together (default 10000)")
    parser.add_argument("--seed", type=int, default=1, help="every input follows from it (default 1)")
    parser.add_argument("--first", type=int, default=0, help="number of the first input of each kind")
    parser.add_argument("--only", action="append", default=[], metavar="KIND", help="repeatable")
    parser.add_argument("--json", action="store_true", help="the last line alone")
    return parser


if __name__ == "__main__":
    sys.exit(main())
