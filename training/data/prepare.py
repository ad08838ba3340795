"""`train prepare`: data sets to a prepared folder: recognised, filtered, deduplicated, split, counted.

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

NOT_MEDICAL, HELD_OUT, SAME, NEARLY = "not medical", "in a held-out text", "the same", "nearly the same"
_SAMPLES = 3


@dataclass(frozen=True, kw_only=True)
class PrepareRequest:
    """What is to be prepared, and how."""

    sources: tuple[str, ...]
    """Files and folders, or the name of a data set on the hub."""
    columns: RowColumns = field(default_factory=RowColumns)
    origins: frozenset[str] = frozenset()
    """Values of the origin column that are medical; empty: those with 'med' in them."""
    revision: str | None = None
    held_out: tuple[Path, ...] = ()
    validation_share: float = 0.02
    """Share of the groups; conversations with the same opening, and notes, stay together."""
    seed: int = 1
    limit: int | None = None
    """Most rows read of each file."""


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
    """Origins of conversations before any was dropped."""
    turns: Counter[int] = field(default_factory=Counter)
    samples: dict[str, list[str]] = field(default_factory=dict)
    """A few texts of each kind that was kept and each reason why one was dropped."""

    def drop(self, reason: str, text: str) -> None:
        self.dropped[reason] += 1
        self.sample(reason, text)

    def sample(self, name: str, text: str) -> None:
        if len(self.samples.setdefault(name, [])) < _SAMPLES:
            self.samples[name].append(text)


def prepare(asked: PrepareRequest, output: Path) -> dict[str, Any]:
    """Writes the prepared folder and its report; returns the facts. Raises UsageError for nothing."""
    began = time.monotonic()
    counts = PrepareCounts()
    files = training_files(asked)
    held_files = held_out_files(
        [*asked.held_out, *(Path(one) for one in asked.sources if Path(one).is_dir())]
    )
    held_out = HeldOut(held_out_texts(held_files))
    kept = list(_kept(_recognized(files, asked, counts), asked, held_out, counts))
    _check(kept, asked, counts)
    train, validation = split(kept, asked.validation_share, asked.seed)
    facts = _facts(counts, held_files, held_out, len(train), len(validation), asked)
    sha256 = write_prepared(output, train, validation, facts)
    facts = {"sha256": sha256, **facts, "seconds": round(time.monotonic() - began, 1)}
    with open_private(output / "report.md") as file:
        file.write(as_markdown(facts, counts.samples))
    return facts


def training_files(asked: PrepareRequest) -> list[Path]:
    """The files to read; in a folder not those kept for testing."""
    found: list[Path] = []
    for source in asked.sources:
        path = Path(source).expanduser()
        is_hub_name = not path.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", source) is not None
        files = files_of(fetch(source, asked.revision) if is_hub_name else path)
        found += files if path.is_file() else [one for one in files if not one.name.startswith(NAMES)]
    return found


def _recognized(files: Iterable[Path], asked: PrepareRequest, counts: PrepareCounts) -> Iterator[Recognized]:
    for path in files:
        for number, row in enumerate(read_rows(path)):
            if number == asked.limit:
                break
            counts.rows[f"{path.parent.name}/{path.name}"] += 1
            found = row if isinstance(row, BrokenRow) else recognize(row, path, asked.columns)
            if isinstance(found, BrokenRow):
                counts.broken[found.reason] += 1
            else:
                yield found


def _kept(
    found: Iterable[Recognized], asked: PrepareRequest, held_out: HeldOut, counts: PrepareCounts
) -> Iterator[Recognized]:
    seen: set[str] = set()
    index = NearIndex(seed=asked.seed)
    for one in found:
        if (reason := _why_not(one, asked, held_out, seen, index, counts)) is not None:
            counts.drop(reason, one.text)
            continue
        kind = one.record["kind"]
        counts.kept[kind] += 1
        counts.sample(kind, one.text)
        yield one


def _why_not(
    one: Recognized,
    asked: PrepareRequest,
    held_out: HeldOut,
    seen: set[str],
    index: NearIndex,
    counts: PrepareCounts,
) -> str | None:
    """The first reason to drop a row, cheapest first."""
    if one.conversation is not None:
        origin = one.conversation.origin
        counts.origins[origin or "(none)"] += 1
        counts.turns[len(one.conversation.turns)] += 1
        if not (is_medical_origin(origin, asked.origins) if origin else is_medical(one.text)):
            return NOT_MEDICAL
    key = exact_key(one.text)
    if key in seen:
        return SAME
    seen.add(key)
    if held_out.is_in(one.text):
        return HELD_OUT
    if one.record["kind"] == CONVERSATION and not index.add(one.text):
        return NEARLY
    return None


def _check(kept: list[Recognized], asked: PrepareRequest, counts: PrepareCounts) -> None:
    if kept:
        return
    if counts.dropped[NOT_MEDICAL]:
        origins = ", ".join(f"{name} ({count:,})" for name, count in counts.origins.most_common(12))
        raise UsageError(
            f"no conversation is medical by {'these origins' if asked.origins else 'its origin or words'};"
            f" there are: {origins}. Name the medical one: --medical-origin NAME"
        )
    reasons = ", ".join(f"{reason} ({count:,})" for reason, count in (counts.broken + counts.dropped).items())
    raise UsageError(f"no row can be trained on: {reasons or 'there are none'}. Look with --inspect")


def split(kept: list[Recognized], share: float, seed: int) -> tuple[list[Record], list[Record]]:
    """Train, shuffled, and validation; a group is on one side, the same whatever else is in the data."""
    halves: tuple[list[Record], list[Record]] = ([], [])
    for one in kept:
        digest = hashlib.sha256(f"{seed} {exact_key(one.group)}".encode()).digest()
        halves[int.from_bytes(digest[:8], "big") < share * 2**64].append(one.record)
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
    asked: PrepareRequest,
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
        "seed": asked.seed,
        "medical_by": sorted(asked.origins) or "an origin with 'med' in it, else the rule of words",
    }
