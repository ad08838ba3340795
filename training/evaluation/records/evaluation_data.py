"""Evaluation data: JSON lines, one record a line, in a file or a folder of splits.

Selects the file of a folder, reads it and maps label names. Knows no tasks.
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

BUILTIN = "builtin"
"""In place of a path: the synthetic notes that come with notemill."""
CORPUS_FOLDER = Path(__file__).parents[3] / "examples" / "corpus"
_SPLITS = ("dev", "valid", "test")
"""Splits in order of preference."""
LABEL_BY_SOURCE_NAME = {source: label for names in LABELS_OF.values() for source, label in names.items()}
"""Our label for each label of the corpora of training.examples.task_examples."""


class DataError(UsageError):
    """The data cannot be evaluated; the message says what is there and what to type."""


def file_of(path: Path) -> Path:
    """The file to evaluate on: `path` itself, or a folder's dev, valid or test split, or its only file.

    `builtin` is the test split of the corpus that comes with notemill, `builtin/dev` its dev split.
    """
    if path.parts[:1] == (BUILTIN,) and not path.exists():
        path = CORPUS_FOLDER / f"{path.name if len(path.parts) == 2 else 'test'}.jsonl"
    if path.is_file():
        return path
    if not path.is_dir():
        raise DataError(f"there is no file or folder {path}.")
    files = {file.stem: file for file in sorted(path.glob("*.jsonl"))}
    split_file = next((files[name] for name in _SPLITS if name in files), None)
    if split_file is None and len(files) == 1:
        split_file = next(iter(files.values()))
    if split_file is None:
        inside = sorted(str(file) for file in [*path.glob("*.jsonl"), *path.glob("*/*.jsonl")])
        hint = f"Type one of: --data {' '.join(inside[:12])}" if inside else "It has no .jsonl file."
        raise DataError(f"{path} has no dev.jsonl, valid.jsonl or test.jsonl. {hint}")
    return split_file


def read_records(path: Path, *, limit: int | None = None, half: Half | None = None) -> list[Record]:
    """The first `limit` records; with `half` only those on odd or even lines (the first line is odd)."""
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


def require_fields(records: Sequence[Record], path: Path, *forms: str) -> None:
    """Raises DataError unless each record has all fields of one form, such as 'text entities'."""
    for number, record in enumerate(records, start=1):
        if not any(all(name in record for name in form.split()) for form in forms):
            needed = " or ".join(" and ".join(form.split()) for form in forms)
            raise DataError(
                f"{path}: record {number} has the fields {', '.join(record)}, but needs {needed}."
            )


def label_mapping(
    records: Iterable[Record], label_map: Mapping[str, str], label_names: Sequence[str]
) -> dict[str, str]:
    """Our label by label of the data: from `label_map`, else our own names and those of known corpora.

    Raises DataError if no label of the data has one of `label_names`, or if the map has an unknown name.
    """
    present = sorted({entity["label"] for record in records for entity in record["entities"]})
    unknown = sorted(set(label_map.values()) - set(label_names))
    if unknown:
        raise DataError(f"--map: {unknown[0]!r} is no label here. Labels: {', '.join(label_names)}.")
    missing = sorted(set(label_map) - set(present))
    if missing:
        raise DataError(f"--map: the data has no label {missing[0]!r}. It has {', '.join(present)}.")
    names = label_map or {
        name: _own_name(name, label_names) or LABEL_BY_SOURCE_NAME.get(name, "") for name in present
    }
    kept = {source: label for source, label in names.items() if label in label_names}
    if not kept:
        example = f"--map {present[0]}={label_names[0]}" if present else "entities with labels"
        raise DataError(
            f"none of the data's labels is known: {', '.join(present) or 'it has none'}."
            f" Map them to labels, e.g. {example}"
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


def _own_name(label: str, label_names: Sequence[str]) -> str | None:
    return label.lower() if label.lower() in label_names else None


def _record(line: str, path: Path, number: int) -> Record:
    try:
        record = json.loads(line)
    except ValueError:
        raise DataError(f"{path}: line {number} is not JSON.") from None
    if not isinstance(record, dict):
        raise DataError(f"{path}: line {number} is not a JSON object.")
    return record
