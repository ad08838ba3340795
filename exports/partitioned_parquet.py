"""Parquet partitioned by run: `run=7/part-0.parquet`, a row a job, as Spark, DuckDB and pandas read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds

from exports.parquet_schema import schema, table
from exports.result_files import Results, in_batches

_ROWS_A_GROUP = 1_000
_OPEN_FILES = 64
"""Most files open at a time; a run whose file was closed gets another part."""


def write_runs(results: Results, folder: Path) -> None:
    """Writes the columns of `notemill results`; `run` is in the folder names, as in partitioned data sets."""
    columns = schema()
    batches: Iterator[pa.RecordBatch] = (
        batch for part in in_batches(results, _ROWS_A_GROUP) for batch in table(part, columns).to_batches()
    )
    ds.write_dataset(
        batches,
        folder,
        schema=columns,
        format="parquet",
        file_options=ds.ParquetFileFormat().make_write_options(compression="zstd"),
        partitioning=ds.partitioning(pa.schema([("run", pa.int64())]), flavor="hive"),
        existing_data_behavior="overwrite_or_ignore",
        max_rows_per_group=_ROWS_A_GROUP,
        min_rows_per_group=0,
        max_rows_per_file=1_000_000,
        max_open_files=_OPEN_FILES,
        use_threads=False,
    )
