"""Reader for Parquet files, a few rows at a time. The only module that imports pyarrow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from models.documents import Document, Refused
from producer.records.columns import ColumnChoice, SourceError
from producer.records.records import Origin, as_document

BATCH_ROWS = 64
"""Rows held in memory as Python objects; with notes of 200 kB these are 13 MB."""

Record = dict[str, Any]

_DAMAGED = (pa.ArrowException, OSError, UnicodeDecodeError)
"""Exceptions of pyarrow for a damaged file; the last for a name in the footer that is not UTF-8."""


def read_parquet_file(path: Path, origin: Origin, choice: ColumnChoice) -> Iterator[Document | Refused]:
    """The documents of a file, each under its 1-based row.

    Raises SourceError where it is no Parquet file or has no text column.
    """
    try:
        # Without pre_buffer a row group is decoded page by page, not held whole.
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=1024 * 1024)
        names = file.schema_arrow.names
    except _DAMAGED:
        raise SourceError(
            f"{origin.source} is not a readable Parquet file.", reason="damaged Parquet"
        ) from None
    with file:
        columns = choice.among(names, origin.source)
        for row_number, record in _records(file):
            if isinstance(record, str):
                yield origin.refused(record, row_number)
            else:
                yield as_document(record, columns, origin, row_number)


def _records(file: pq.ParquetFile) -> Iterator[tuple[int, Record | str]]:
    """The rows with their numbers, or the reason why a row group is unreadable; damage ends its row group
    only."""
    group_ends_at = 0
    for group in range(file.num_row_groups):
        row_number = group_ends_at
        group_ends_at += file.metadata.row_group(group).num_rows
        try:
            for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=[group]):
                for row in _rows(batch):
                    row_number += 1
                    yield row_number, row
        except _DAMAGED:
            yield row_number + 1, f"damaged Parquet (to row {group_ends_at})"


def _rows(batch: pa.RecordBatch) -> list[Record | str]:
    try:
        rows: list[Record | str] = batch.to_pylist()
    except (ValueError, OverflowError):  # Arrow does not look inside values; Python does, and names no row
        rows = [_row(batch.slice(index, 1)) for index in range(batch.num_rows)]
    return rows


def _row(single: pa.RecordBatch) -> Record | str:
    try:
        row: Record = single.to_pylist()[0]
    except UnicodeDecodeError:
        return "invalid UTF-8"
    except (ValueError, OverflowError):
        return "a time out of range"
    return row
