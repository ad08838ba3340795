"""Evaluation data: JSON lines, one record a line, from a file or a folder of splits.

Selects the file of a folder and maps label names; does not depend on tasks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from models.errors import UsageError
from training.examples.task_examples import LABELS_OF

Record = dict[str, Any]
Half = Literal["odd", "even"]

_SPLITS = ("dev", "valid", "test")
"""Splits in order of preference; test halves are read only by their own name, or alone."""
LABEL_BY_SOURCE_NAME = {source: label for names in LABELS_OF.values() for source, label in names.items()}
"""Our names of the labels in the corpora of training.examples.task_examples."""


class DataError(UsageError):
    """The data cannot be evaluated; the message says what is there and what to type."""


def file_of(path: Path) -> Path:
    """The file: itself, or a folder's dev, valid or test split, or its only file."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise DataError(f"there is no file or folder {path}.")
    files = {file.stem: file for file in sorted(path.glob("*.jsonl"))}
    chosen = next((files[name] for name in _SPLITS if name in files), None)
    if chosen is None and len(files) == 1:
        chosen = next(iter(files.values()))
    if chosen is None:
        inside = sorted(str(one) for one in [*path.glob("*.jsonl"), *path.glob("*/*.jsonl")])
        known = f"Type one of: --data {' '.join(inside[:12])}" if inside else "It has no .jsonl file."
        raise DataError(f"{path} has no dev.jsonl, valid.jsonl or test.jsonl. {known}")
    return chosen


def read_records(path: Path, *, limit: int | None = None, half: Half | None = None) -> list[Record]:
    """The first records; with `half` of every second line (the first line is odd)."""
    kept: list[Record] = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if limit is not None and len(kept) == limit:
                break
            if line.strip() and (half is None or (number % 2 == 1) == (half == "odd")):
                kept.append(_record(line, path, number))
    if not kept:
        raise DataError(f"{path} holds no records.")
    return kept


def wants(records: Sequence[Record], path: Path, *forms: str) -> None:
    """Raises DataError unless each record has all fields of one form, such as 'text entities'."""
    for number, record in enumerate(records, start=1):
        if not any(all(name in record for name in form.split()) for form in forms):
            wanted = " or ".join(" and ".join(form.split()) for form in forms)
            raise DataError(
                f"{path}: record {number} has the fields {', '.join(record)}, but needs {wanted}."
            )


def names_here(records: Iterable[Record], given: Mapping[str, str], ours: Sequence[str]) -> dict[str, str]:
    """By label of the data, its name here: as given, else our own names and those of known corpora.

    Raises DataError where nothing is left to be evaluated, or a name given is not among ours.
    """
    present = sorted({one["label"] for record in records for one in record["entities"]})
    unknown = sorted(set(given.values()) - set(ours))
    if unknown:
        raise DataError(f"--map: {unknown[0]!r} is no label here. Labels: {', '.join(ours)}.")
    missing = sorted(set(given) - set(present))
    if missing:
        raise DataError(f"--map: the data has no label {missing[0]!r}. It has {', '.join(present)}.")
    names = given or {one: _own_name(one, ours) or LABEL_BY_SOURCE_NAME.get(one, "") for one in present}
    kept = {source: label for source, label in names.items() if label in ours}
    if not kept:
        example = f"--map {present[0]}={ours[0]}" if present else "entities with labels"
        raise DataError(
            f"none of the data's labels is known here: {', '.join(present) or 'it has none'}."
            f" Type what each is called, e.g. {example}"
        )
    return kept


def parsed_map(pairs: Sequence[str]) -> dict[str, str]:
    """SOURCE=LABEL pairs. Raises DataError for another form, or for a source named twice."""
    names: dict[str, str] = {}
    for pair in pairs:
        source, equals, label = pair.rpartition("=")
        if not equals or not source or not label:
            raise DataError(f"--map {pair!r} is not SOURCE=LABEL, e.g. --map Disease=problem")
        if names.setdefault(source, label) != label:
            raise DataError(f"--map names {source!r} twice.")
    return names


def _own_name(label: str, ours: Sequence[str]) -> str | None:
    return label.lower() if label.lower() in ours else None


def _record(line: str, path: Path, number: int) -> Record:
    try:
        record = json.loads(line)
    except ValueError:
        raise DataError(f"{path}: line {number} is not JSON.") from None
    if not isinstance(record, dict):
        raise DataError(f"{path}: line {number} is not a JSON object.")
    return record
