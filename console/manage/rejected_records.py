"""Removes erased notes from the lists of refused records in the home folder."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from exports.atomic_files import whole_file


def forget_refused(
    folder: Path, external_ids: Collection[str], runs: Collection[int], before: datetime | None
) -> int:
    """Removes lines of these ids, the lists of these runs and those last written before the moment; returns
    the number of lines. Lists written elsewhere with --rejects are not known here."""
    removed = 0
    for path in sorted(folder.glob("run-*.rejects.jsonl*")):
        lines = path.read_text("utf-8", "replace").splitlines(keepends=True)
        is_of_run = path.name.split("-")[1].partition(".")[0] in {str(run) for run in runs}
        is_old = before is not None and path.stat().st_mtime < before.timestamp()
        kept = [] if is_of_run or is_old else [line for line in lines if _id_of(line) not in external_ids]
        removed += len(lines) - len(kept)
        if not kept:
            path.unlink()
        elif len(kept) < len(lines):
            with whole_file(path) as file:
                file.write("".join(kept).encode("utf-8"))
    return removed


def _id_of(line: str) -> str | None:
    try:
        return str(json.loads(line)["external_id"])
    except (ValueError, LookupError, TypeError):
        return None
