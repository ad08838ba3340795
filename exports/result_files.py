"""Answers as JSON lines, CSV and Parquet, from a stream of jobs to bytes; each writer returns the number of
jobs.

A job is the JSON object that `models.queries.results` describes. Used by `notemill results` and `export`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, BinaryIO

from exports import flat_rows

Results = Iterable[dict[str, Any]]
_PARQUET_ROWS = 1_000
"""Rows in a row group, a few MB."""


def write_jsonl(results: Results, file: BinaryIO) -> int:
    """Writes a JSON object a line."""
    count = 0
    for result in results:
        file.write(json.dumps(result, ensure_ascii=False).encode("utf-8") + b"\n")
        count += 1
    return count


def write_csv(results: Results, file: BinaryIO) -> int:
    """Writes a line for each entity, attribute, passage or summary sentence; a job without any has one line
    too."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.DictWriter(text, flat_rows.COLUMNS)
    writer.writeheader()
    count = 0
    for result in results:
        writer.writerows(flat_rows.rows_of(result))
        count += 1
    text.detach()
    return count


def write_parquet(results: Results, file: BinaryIO) -> int:
    """Writes a row for each job with nested answers; the columns do not depend on the tasks."""
    import pyarrow.parquet as pq

    from exports.parquet_schema import schema, table

    columns, count = schema(), 0
    with pq.ParquetWriter(file, columns, compression="zstd") as writer:
        for batch in in_batches(results, _PARQUET_ROWS):
            writer.write_table(table(batch, columns))
            count += len(batch)
    return count


def in_batches(results: Results, size: int) -> Iterator[list[dict[str, Any]]]:
    """Lists of at most `size`."""
    rest = iter(results)
    while batch := list(islice(rest, size)):
        yield batch
