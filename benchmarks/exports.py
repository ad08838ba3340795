"""CPU seconds and peak memory of exporting an archive of stored answers.

    python -m benchmarks.exports --to omop,fhir --notes 2500,25000

25,000 notes have a million entities, one row each in OMOP's `note_nlp`. Each export is `notemill export` in
its own process on SQLite. Memory is flat when ten times the notes take the same MiB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.archive.synthetic_archive import ENTITIES_A_NOTE, fill
from models.migrations import schema_version
from models.schema.database import connect

ROOT = Path(__file__).parents[1]
OUTPUTS = {"omop": "omop/", "fhir": "notes.ndjson", "parquet": "lake/", "jsonl": "answers.jsonl"}


def main(given: argparse.Namespace) -> int:
    table = sys.stderr if given.json else sys.stdout
    print(f"{'to':<8} {'notes':>8} {'entities':>9} {'peak MiB':>9} {'CPU s':>7} {'s':>7}", file=table)
    exports = []
    for figures in _measure_exports(given):
        exports.append(figures)
        row = "{to:<8} {notes:>8} {entities:>9} {peak_mib:>9} {cpu_seconds:>7} {seconds:>7}"
        print(row.format_map(figures), file=table, flush=True)
    if given.json:
        print(json.dumps({"exports": exports}))
    return 0


def _measure_exports(given: argparse.Namespace) -> Iterator[dict[str, object]]:
    for notes in map(int, given.notes.split(",")):
        with tempfile.TemporaryDirectory(prefix="nm-") as folder:
            engine = connect(f"sqlite:///{folder}/notemill.db")
            schema_version.upgrade(engine)
            fill(engine, notes)
            engine.dispose()
            for export_format in given.to.split(","):
                yield _measure_export(Path(folder), export_format, notes)


def _measure_export(folder: Path, export_format: str, notes: int) -> dict[str, object]:
    output = str(folder / OUTPUTS[export_format])
    command = [
        sys.executable,
        "-m",
        "notemill",
        "export",
        "--to",
        export_format,
        "--output",
        output,
        "--quiet",
    ]
    began = time.monotonic()
    process = subprocess.Popen(command, env=os.environ | {"NOTEMILL_HOME": str(folder)})  # noqa: S603
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        exit_code = os.waitstatus_to_exitcode(status)
        raise RuntimeError(f"the export to {export_format} ended with exit status {exit_code}")
    return {
        "to": export_format,
        "notes": notes,
        "entities": notes * ENTITIES_A_NOTE,
        "peak_mib": round(usage.ru_maxrss / 1024),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "seconds": round(time.monotonic() - began, 1),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--to",
        default="omop,fhir",
        metavar="LIST",
        help=f"formats: {', '.join(OUTPUTS)} (default: omop,fhir)",
    )
    parser.add_argument("--notes", default="2500,25000", metavar="LIST", help="archive sizes in notes")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    sys.exit(main(parser.parse_args()))
