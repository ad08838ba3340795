"""Reads the rows of a data set: csv, tsv, parquet, json, jsonl, a folder of them, or a name on the hub.

A row is a dict of its columns; an unreadable row is a BrokenRow with its reason.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import UsageError
from producer.records.byte_streams import MAX_RECORD_BYTES, Lines, UnreadableError, open_bytes, read_whole

SUFFIXES = (".csv", ".tsv", ".parquet", ".json", ".jsonl")
_MAX_JSON_BYTES = 2 * 2**30
"""Largest JSON file, for it is read whole; Baize's largest has about 100 MB."""
_WRAPPERS = ("data", "rows", "train", "examples")


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """An unreadable row; `reason` is a fixed phrase."""

    reason: str


Row = dict[str, Any]


def files_of(source: Path) -> list[Path]:
    """The source itself, or the readable files under a folder, sorted. Raises UsageError if none."""
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UsageError(f"{source} is neither a file nor a folder")
    files = sorted(path for path in source.rglob("*") if _suffix(path) in SUFFIXES and path.is_file())
    if not files:
        raise UsageError(f"{source} holds no {', '.join(SUFFIXES)} file (gzip is fine)")
    return files


def read_rows(path: Path) -> Iterator[Row | BrokenRow]:
    """Yields the rows of one file; its suffix tells the format. Raises UsageError for another format."""
    readers = {
        ".csv": lambda: _delimited(path, ","),
        ".tsv": lambda: _delimited(path, "\t"),
        ".parquet": lambda: _parquet(path),
        ".json": lambda: _json(path),
        ".jsonl": lambda: _jsonl(path),
    }
    if _suffix(path) not in readers:
        raise UsageError(f"{path.name} is none of {', '.join(SUFFIXES)}")
    try:
        yield from readers[_suffix(path)]()
    except UnreadableError as error:
        yield BrokenRow(error.reason)


def fetch(name: str, revision: str | None) -> Path:
    """Downloads a data set of the hub at a pinned revision; returns the folder in the client's cache. Raises
    UsageError."""
    if not revision or len(revision) != 40:
        raise UsageError(
            f"{name} is a name on the hub: pin it with --revision COMMIT (40 characters, from its page), or"
            " give a local file or folder"
        )
    from huggingface_hub import snapshot_download

    patterns = [f"*{suffix}" for suffix in SUFFIXES]
    try:
        return Path(snapshot_download(name, repo_type="dataset", revision=revision, allow_patterns=patterns))
    except Exception as error:  # noqa: BLE001  the hub client raises dozens of types; the message names it
        raise UsageError(
            f"{name} could not be fetched ({type(error).__name__}): fetch it elsewhere and give its folder"
        ) from None


def columns_of(rows: Sequence[Row]) -> list[str]:
    """The names of all columns, in the order they were first seen."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _suffix(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def _delimited(path: Path, delimiter: str) -> Iterator[Row | BrokenRow]:
    csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD_BYTES))
    with open_bytes(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
        rows = csv.reader(text, delimiter=delimiter)
        header = next(rows, None) or []
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error:
                yield BrokenRow("malformed row")
                continue
            if len(row) != len(header):
                yield BrokenRow(f"{len(row)} fields where the header has {len(header)}")
            elif any(not field.isprintable() and _has_surrogate(field) for field in row):
                yield BrokenRow("invalid UTF-8")
            else:
                yield dict(zip(header, row, strict=True))


def _parquet(path: Path) -> Iterator[Row | BrokenRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1_024):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        yield BrokenRow("damaged Parquet")


def _json(path: Path) -> Iterator[Row | BrokenRow]:
    with open_bytes(path) as stream:
        content = read_whole(stream, _MAX_JSON_BYTES)
    try:
        value = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        yield BrokenRow("malformed JSON")
        return
    for name in _WRAPPERS:
        if isinstance(value, dict) and isinstance(value.get(name), list):
            value = value[name]
    if isinstance(value, dict):
        value = _transposed(value)
    has_escapes = b"\\ud" in content.lower()
    for row in value if isinstance(value, list) else [value]:
        yield _checked(row, has_escapes=has_escapes)


def _jsonl(path: Path) -> Iterator[Row | BrokenRow]:
    with open_bytes(path) as stream:
        lines = Lines(stream)
        while True:
            try:
                line = next(lines)
            except StopIteration:
                return
            except UnreadableError as error:
                yield BrokenRow(error.reason)
                continue
            if line.strip():
                yield _object(line)


def _object(line: bytes) -> Row | BrokenRow:
    try:
        value = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return BrokenRow("malformed JSON")
    return _checked(value, has_escapes=b"\\ud" in line.lower())


def _checked(value: Any, *, has_escapes: bool) -> Row | BrokenRow:
    """The row, if it is an object without unpaired surrogates, which JSON allows and UTF-8 does not."""
    if not isinstance(value, dict):
        return BrokenRow("not an object")
    if has_escapes:
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            return BrokenRow("invalid UTF-8")
    return value


def _transposed(columns: dict[str, Any]) -> Any:
    """Turns a table that pandas wrote as {column: {"0": value, …}} into rows; any other object is one row."""
    values = list(columns.values())
    if not values or not all(isinstance(value, dict | list) for value in values):
        return [columns]
    kept = [list(value.values()) if isinstance(value, dict) else value for value in values]
    if len({len(value) for value in kept}) != 1:
        return [columns]
    return [dict(zip(columns, row, strict=True)) for row in zip(*kept, strict=True)]


def _has_surrogate(field: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in field)
