"""Exports of an archive of stored answers: CPU seconds, and the most memory that each ever had.

    python -m benchmarks.exports --to omop,fhir --notes 2500,25000

25,000 notes have a million entities, and as many rows has `note_nlp` of OMOP. Each export is
the command in a process of its own on SQLite. Memory is flat where ten times the notes take the same MiB.
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
    told = sys.stderr if given.json else sys.stdout
    print(f"{'to':<8} {'notes':>8} {'entities':>9} {'peak MiB':>9} {'CPU s':>7} {'s':>7}", file=told)
    found = []
    for one in _all(given):
        found.append(one)
        row = "{to:<8} {notes:>8} {entities:>9} {peak_mib:>9} {cpu_seconds:>7} {seconds:>7}"
        print(row.format_map(one), file=told, flush=True)
    if given.json:
        print(json.dumps({"exports": found}))
    return 0


def _all(given: argparse.Namespace) -> Iterator[dict[str, object]]:
    for notes in map(int, given.notes.split(",")):
        with tempfile.TemporaryDirectory(prefix="nm-") as folder:
            engine = connect(f"sqlite:///{folder}/notemill.db")
            schema_version.upgrade(engine)
            fill(engine, notes)
            engine.dispose()
            for form in given.to.split(","):
                yield _exported(Path(folder), form, notes)


def _exported(folder: Path, form: str, notes: int) -> dict[str, object]:
    output = str(folder / OUTPUTS[form])
    command = [
        sys.executable,
        "-m",
        "notemill",
        "export",
        "--to",
        form,
        "--output",
        output,
        "--quiet",
    ]
    began = time.monotonic()
    process = subprocess.Popen(command, env=os.environ | {"NOTEMILL_HOME": str(folder)})  # noqa: S603
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"the export to {form} ended with {os.waitstatus_to_exitcode(status)}")
    return {
        "to": form,
        "notes": notes,
        "entities": notes * ENTITIES_A_NOTE,
        "peak_mib": round(used.ru_maxrss / 1024),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "seconds": round(time.monotonic() - began, 1),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--to", default="omop,fhir", metavar="LIST", help=", ".join(OUTPUTS))
    parser.add_argument("--notes", default="2500,25000", metavar="LIST")
    parser.add_argument("--json", action="store_true", help="one object on the last line")
    sys.exit(main(parser.parse_args()))
