"""`train prepare`: filters, deduplicates and splits data sets, and writes a prepared folder.

Every row is counted once: kept, broken with its reason, or dropped with its reason.
"""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.errors import UsageError
from training.data.data_tables import BrokenRow, fetch, files_of, read_rows
from training.data.held_out import NAMES, HeldOut, held_out_files, held_out_texts
from training.data.medical_filter import is_medical, is_medical_origin
from training.data.near_duplicates import NearIndex, exact_key
from training.data.prepare_report import as_markdown
from training.data.prepared_folder import Record, open_private, write_prepared
from training.data.row_formats import CONVERSATION, Recognized, RowColumns, recognize

NOT_MEDICAL, HELD_OUT, DUPLICATE, NEAR_DUPLICATE = (
    "not medical",
    "in a held-out text",
    "the same",
    "nearly the same",
)
_SAMPLES = 3


@dataclass(frozen=True, kw_only=True)
class PrepareRequest:
    """The options of `train prepare`."""

    sources: tuple[str, ...]
    """Files and folders, or the name of a data set on the hub."""
    columns: RowColumns = field(default_factory=RowColumns)
    origins: frozenset[str] = frozenset()
    """Values of the origin column that are medical; empty: those with 'med' in them."""
    revision: str | None = None
    held_out: tuple[Path, ...] = ()
    validation_share: float = 0.02
    """Share of the groups that validate; a group is a note, or the conversations with the same opening."""
    seed: int = 1
    limit: int | None = None
    """Largest number of rows read from each file; None: all."""


@dataclass
class PrepareCounts:
    """Counts of the rows."""

    rows: Counter[str] = field(default_factory=Counter)
    """Rows by file."""
    broken: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    """Kept rows by kind."""
    origins: Counter[str] = field(default_factory=Counter)
    """Origins of conversations, counted before any is dropped."""
    turns: Counter[int] = field(default_factory=Counter)
    samples: dict[str, list[str]] = field(default_factory=dict)
    """A few texts of each kind of kept row, and of each reason to drop one."""

    def drop(self, reason: str, text: str) -> None:
        self.dropped[reason] += 1
        self.sample(reason, text)

    def sample(self, name: str, text: str) -> None:
        if len(self.samples.setdefault(name, [])) < _SAMPLES:
            self.samples[name].append(text)


def prepare(request: PrepareRequest, output: Path) -> dict[str, Any]:
    """Writes the prepared folder and its report; returns its manifest. Raises UsageError without rows."""
    began = time.monotonic()
    counts = PrepareCounts()
    files = training_files(request)
    held_files = held_out_files(
        [*request.held_out, *(Path(source) for source in request.sources if Path(source).is_dir())]
    )
    held_out = HeldOut(held_out_texts(held_files))
    kept = list(_filtered(_recognized(files, request, counts), request, held_out, counts))
    _check_any_kept(kept, request, counts)
    train, validation = split(kept, request.validation_share, request.seed)
    facts = _facts(counts, held_files, held_out, len(train), len(validation), request)
    sha256 = write_prepared(output, train, validation, facts)
    facts = {"sha256": sha256, **facts, "seconds": round(time.monotonic() - began, 1)}
    with open_private(output / "report.md") as file:
        file.write(as_markdown(facts, counts.samples))
    return facts


def training_files(request: PrepareRequest) -> list[Path]:
    """The files to read; held-out files of a folder are skipped."""
    paths: list[Path] = []
    for source in request.sources:
        path = Path(source).expanduser()
        is_hub_name = not path.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", source) is not None
        files = files_of(fetch(source, request.revision) if is_hub_name else path)
        paths += files if path.is_file() else [file for file in files if not file.name.startswith(NAMES)]
    return paths


def _recognized(
    files: Iterable[Path], request: PrepareRequest, counts: PrepareCounts
) -> Iterator[Recognized]:
    for path in files:
        for number, row in enumerate(read_rows(path)):
            if number == request.limit:
                break
            counts.rows[f"{path.parent.name}/{path.name}"] += 1
            recognized = row if isinstance(row, BrokenRow) else recognize(row, path, request.columns)
            if isinstance(recognized, BrokenRow):
                counts.broken[recognized.reason] += 1
            else:
                yield recognized


def _filtered(
    rows: Iterable[Recognized], request: PrepareRequest, held_out: HeldOut, counts: PrepareCounts
) -> Iterator[Recognized]:
    seen: set[str] = set()
    index = NearIndex(seed=request.seed)
    for row in rows:
        if (reason := _drop_reason(row, request, held_out, seen, index, counts)) is not None:
            counts.drop(reason, row.text)
            continue
        kind = row.record["kind"]
        counts.kept[kind] += 1
        counts.sample(kind, row.text)
        yield row


def _drop_reason(
    row: Recognized,
    request: PrepareRequest,
    held_out: HeldOut,
    seen: set[str],
    index: NearIndex,
    counts: PrepareCounts,
) -> str | None:
    """The first reason to drop a row, or None; cheap checks come first."""
    if row.conversation is not None:
        origin = row.conversation.origin
        counts.origins[origin or "(none)"] += 1
        counts.turns[len(row.conversation.turns)] += 1
        if not (is_medical_origin(origin, request.origins) if origin else is_medical(row.text)):
            return NOT_MEDICAL
    key = exact_key(row.text)
    if key in seen:
        return DUPLICATE
    seen.add(key)
    if held_out.is_in(row.text):
        return HELD_OUT
    if row.record["kind"] == CONVERSATION and not index.add(row.text):
        return NEAR_DUPLICATE
    return None


def _check_any_kept(kept: list[Recognized], request: PrepareRequest, counts: PrepareCounts) -> None:
    if kept:
        return
    if counts.dropped[NOT_MEDICAL]:
        origins = ", ".join(f"{name} ({count:,})" for name, count in counts.origins.most_common(12))
        raise UsageError(
            f"no conversation is medical by {'these origins' if request.origins else 'its origin or words'};"
            f" there are: {origins}. Name the medical one: --medical-origin NAME"
        )
    reasons = ", ".join(f"{reason} ({count:,})" for reason, count in (counts.broken + counts.dropped).items())
    raise UsageError(f"no row can be trained on: {reasons or 'there are none'}. Look with --inspect")


def split(kept: list[Recognized], share: float, seed: int) -> tuple[list[Record], list[Record]]:
    """Train, shuffled, and validation. A group is on one side only, whatever else is in the data."""
    halves: tuple[list[Record], list[Record]] = ([], [])
    for row in kept:
        digest = hashlib.sha256(f"{seed} {exact_key(row.group)}".encode()).digest()
        halves[int.from_bytes(digest[:8], "big") < share * 2**64].append(row.record)
    if not halves[1] and len(halves[0]) > 1:
        halves[1].append(halves[0].pop())
    random.Random(seed).shuffle(halves[0])
    return halves


def _facts(
    counts: PrepareCounts,
    held_files: list[Path],
    held_out: HeldOut,
    train: int,
    validation: int,
    request: PrepareRequest,
) -> dict[str, Any]:
    return {
        "rows": dict(counts.rows),
        "kept": dict(counts.kept),
        "broken": dict(counts.broken),
        "dropped": dict(counts.dropped),
        "origins": dict(counts.origins.most_common(50)),
        "turns": {str(number): counts.turns[number] for number in sorted(counts.turns)},
        "train": train,
        "validation": validation,
        "held_out": {
            "files": [f"{path.parent.name}/{path.name}" for path in held_files],
            "texts": held_out.texts,
        },
        "seed": request.seed,
        "medical_by": sorted(request.origins) or "an origin with 'med' in it, else the rule of words",
    }
