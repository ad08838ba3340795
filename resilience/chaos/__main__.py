"""Breaks what can break while notes are answered; then: is every job's answer there, once, and the right one?

    python -m resilience.chaos --seed 1
    python -m resilience.chaos --seed 7 --seconds 120 --database postgresql --json

Real processes: producers, two workers with an engine that answers at once and one with the default engine
on tiny weights (from 60 seconds on), Redis behind a proxy that can cut, SQLite or a PostgreSQL of its own.
The last line is JSON. Exit status 1 where anything is lost, doubled or wrong. Where work is left when the
time is over, what is left is said, the logs stay, no JSON is written, and the exit status is 3.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from models.settings import Settings
from resilience.chaos.chaos_run import ChaosRun
from resilience.chaos.deterministic_engine import ChaosEngine
from resilience.chaos.result_check import Verdict, check_results
from resilience.chaos.run_deadline import (
    UNFINISHED_EXIT_STATUS,
    RunDeadline,
    UnfinishedRunError,
    force_exit_after,
)
from resilience.chaos.test_bed import ChaosTestBed, running_test_bed
from worker.engine.api import Engine

_REAL_FROM_SECONDS = 60.0
_FAULTS_A_SECOND = 50 / 60


def main(arguments: list[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGINT):  # so that no worker stays behind
        signal.signal(number, lambda *_: sys.exit(130))
    began, deadline = time.monotonic(), RunDeadline(given.end_seconds)
    folder = Path(tempfile.mkdtemp(prefix="nm-chaos-"))
    is_kept = given.keep
    try:
        play, verdict = _play(given, folder, deadline)
    except UnfinishedRunError as error:
        is_kept = True
        print(error, file=sys.stderr)
        return UNFINISHED_EXIT_STATUS
    finally:
        if not is_kept:
            shutil.rmtree(folder, ignore_errors=True)
    for line in verdict.lines:
        print(line, file=sys.stderr)
    print(json.dumps(_figures(play, verdict, time.monotonic() - began)))
    return int(bool(verdict.lost or verdict.doubled or verdict.wrong))


def _play(given: argparse.Namespace, folder: Path, deadline: RunDeadline) -> tuple[ChaosRun, Verdict]:
    groups = ("instant", "real") if given.seconds >= _REAL_FROM_SECONDS else ("instant",)
    say = (lambda _line: None) if given.json else (lambda line: print(line, flush=True))
    say(f"seed {given.seed}, {given.database}, in {folder}")
    with running_test_bed(folder, given.database, groups) as built, force_exit_after(deadline, built):
        faults = given.faults or max(3, round(given.seconds * _FAULTS_A_SECOND))
        play = ChaosRun(built, given.seed, given.seconds, faults, deadline, say)
        chunks = play.run()
        built.stop_processes()
        return play, check_results(built, chunks, _engines(built))


def _engines(built: ChaosTestBed) -> dict[str, Engine]:
    return {
        group: ChaosEngine(has_faults=False) if group == "instant" else _real(built.settings(group))
        for group in built.groups
    }


def _real(settings: Settings) -> Engine:
    import torch

    from worker.engine.network.local_engine import load

    torch.set_num_threads(1)  # two that wait for each other are slow where others keep busy
    return load(settings)


def _figures(play: ChaosRun, verdict: Verdict, seconds: float) -> dict[str, object]:
    return {
        "jobs": verdict.jobs,
        "faults": play.by_kind.total(),
        "by_kind": dict(sorted(play.by_kind.items())),
        "lost": verdict.lost,
        "doubled": verdict.doubled,
        "wrong": verdict.wrong,
        "quarantined": verdict.quarantined,
        "seconds": round(seconds, 1),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m resilience.chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=1, help="draws kinds and moments (default 1)")
    parser.add_argument("--seconds", type=float, default=60, help="least time of faults (default 60)")
    parser.add_argument("--faults", type=int, help="at least so many, however long (default: 50 a minute)")
    parser.add_argument("--end-seconds", type=float, default=1_800, help="for all of it (default 1800)")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--json", action="store_true", help="no progress, the last line alone")
    parser.add_argument("--keep", action="store_true", help="leave the folder with its logs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
