"""Reader for JSON Lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from models.documents import Document, Refused
from producer.readers.fhir_notes import is_fhir, read_resources
from producer.records.byte_streams import Lines, UnreadableError, open_bytes
from producer.records.columns import ColumnChoice, Columns, SourceError
from producer.records.records import Origin, as_document

HEAD_RECORDS = 100
"""Number of first objects without a text column after which the column choice is wrong, not the record."""

Record = tuple[int, dict[str, Any]]


def read_jsonl_file(path: Path, origin: Origin, choice: ColumnChoice) -> Iterator[Document | Refused]:
    """The documents of a file. Raises SourceError where no record has the text column."""
    try:
        with open_bytes(path) as stream:
            yield from read_jsonl(stream, origin, choice)
    except UnreadableError as refusal:
        yield origin.refused(refusal.reason)


def read_jsonl(stream: BinaryIO, origin: Origin, choice: ColumnChoice) -> Iterator[Document | Refused]:
    """The documents of a stream, one object a line; blank lines are skipped. Where the first object is a FHIR
    resource, all are (a bulk export). Objects may have different keys. Raises SourceError where none of the
    first objects has a text column, and names their keys."""
    records = _records(Lines(stream), origin)
    first = next(records, None)
    if first is None:
        return
    records = chain([first], records)
    if not isinstance(first, Refused) and is_fhir(first[1]) and choice.text_column is None:
        yield from read_resources(records, origin)
        return
    columns_of = lru_cache(maxsize=256)(lambda names: choice.among(names, origin.source))
    for record in chain(_head(records, choice, origin), records):
        yield record if isinstance(record, Refused) else _document(record, columns_of, origin)


def _document(record: Record, columns_of: Any, origin: Origin) -> Document | Refused:
    line, values = record
    try:
        columns: Columns = columns_of(tuple(values))
    except SourceError as error:
        return origin.refused(error.reason.removesuffix(" column"), line)
    return as_document(values, columns, origin, line)


def _head(
    records: Iterator[Record | Refused], choice: ColumnChoice, origin: Origin
) -> list[Record | Refused]:
    """The records up to the first that has the columns, usually one."""
    head: list[Record | Refused] = []
    names: dict[str, None] = {}
    for record in records:
        head.append(record)
        if isinstance(record, Refused):
            if len(head) >= HEAD_RECORDS:
                return head
            continue
        with suppress(SourceError):
            choice.among(tuple(record[1]), origin.source)
            return head
        names |= dict.fromkeys(record[1])
        if len(head) >= HEAD_RECORDS:
            break
    if names:
        choice.among(tuple(names), origin.source)  # raises, unless text and id were never in one record
    return head


def _records(lines: Lines, origin: Origin) -> Iterator[Record | Refused]:
    while True:
        try:
            line = next(lines)
        except StopIteration:
            return
        except UnreadableError as refusal:
            yield origin.refused(refusal.reason, lines.number)
            continue
        if line.strip():
            yield _record(line, lines.number, origin)


def _record(line: bytes, number: int, origin: Origin) -> Record | Refused:
    if b"\x00" in line:
        return origin.refused("a NUL character", number)
    try:
        # NaN and Infinity are no JSON, but what Python and R write for a missing number.
        value = json.loads(line.decode("utf-8"), parse_constant=lambda _: None)
    except UnicodeDecodeError:
        return origin.refused("invalid UTF-8", number)
    except (ValueError, RecursionError):
        return origin.refused("malformed JSON", number)
    return (number, value) if isinstance(value, dict) else origin.refused("not an object", number)
