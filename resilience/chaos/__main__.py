"""Injects faults while notes are answered, then checks that every job has its answer once, and the right one.

    python -m resilience.chaos --seed 1
    python -m resilience.chaos --seed 7 --seconds 120 --database postgresql --json

Runs real processes: producers, two workers with an engine that answers at once, in runs of 60 seconds or more
a third with the default engine on tiny weights, Redis behind a proxy that cuts connections, and SQLite or its
own PostgreSQL server. The last line is JSON. Exit status 1 when an answer is lost, doubled or wrong. When
jobs are open at --end-seconds, the run reports them, keeps its logs, prints no JSON and exits with status 3.
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
from resilience.chaos.result_check import ChaosVerdict, check_results
from resilience.chaos.run_deadline import (
    UNFINISHED_EXIT_STATUS,
    RunDeadline,
    UnfinishedRunError,
    force_exit_after,
)
from resilience.chaos.test_bed import ChaosTestBed, running_test_bed
from worker.engine.api import Engine

_REAL_ENGINE_FROM_SECONDS = 60.0
_FAULTS_A_SECOND = 50 / 60


def main(arguments: list[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGINT):  # so that the workers end too
        signal.signal(number, lambda *_: sys.exit(130))
    began, deadline = time.monotonic(), RunDeadline(given.end_seconds)
    folder = Path(tempfile.mkdtemp(prefix="nm-chaos-"))
    is_kept = given.keep
    try:
        run, verdict = _run(given, folder, deadline)
    except UnfinishedRunError as error:
        is_kept = True
        print(error, file=sys.stderr)
        return UNFINISHED_EXIT_STATUS
    finally:
        if not is_kept:
            shutil.rmtree(folder, ignore_errors=True)
    for line in verdict.lines:
        print(line, file=sys.stderr)
    print(json.dumps(_figures(run, verdict, time.monotonic() - began)))
    return int(bool(verdict.lost or verdict.doubled or verdict.wrong))


def _run(given: argparse.Namespace, folder: Path, deadline: RunDeadline) -> tuple[ChaosRun, ChaosVerdict]:
    groups = ("instant", "real") if given.seconds >= _REAL_ENGINE_FROM_SECONDS else ("instant",)
    report = (lambda _line: None) if given.json else (lambda line: print(line, flush=True))
    report(f"seed {given.seed}, {given.database}, in {folder}")
    with running_test_bed(folder, given.database, groups) as bed, force_exit_after(deadline, bed):
        faults = given.faults or max(3, round(given.seconds * _FAULTS_A_SECOND))
        run = ChaosRun(bed, given.seed, given.seconds, faults, deadline, report)
        note_ranges = run.run()
        bed.stop_processes()
        return run, check_results(bed, note_ranges, _engines(bed))


def _engines(bed: ChaosTestBed) -> dict[str, Engine]:
    return {
        group: ChaosEngine(has_faults=False) if group == "instant" else _real_engine(bed.settings(group))
        for group in bed.groups
    }


def _real_engine(settings: Settings) -> Engine:
    import torch

    from worker.engine.network.local_engine import load

    torch.set_num_threads(1)  # on a busy machine two threads that wait for each other are slow
    return load(settings)


def _figures(run: ChaosRun, verdict: ChaosVerdict, seconds: float) -> dict[str, object]:
    return {
        "jobs": verdict.jobs,
        "faults": run.by_kind.total(),
        "by_kind": dict(sorted(run.by_kind.items())),
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
    parser.add_argument("--seed", type=int, default=1, help="seed of the faults and their times (default 1)")
    parser.add_argument("--seconds", type=float, default=60, help="time of faults at least (default 60)")
    parser.add_argument("--faults", type=int, help="number of faults at least (default: 50 a minute)")
    parser.add_argument(
        "--end-seconds", type=float, default=1_800, help="time limit of the whole run (default 1800)"
    )
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--json", action="store_true", help="print only the last line, without progress")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
