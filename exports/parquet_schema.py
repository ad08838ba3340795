"""The Parquet schema of results: always the same, so that files of many runs read as one table."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import pyarrow as pa

_SPAN = [("start", pa.int64()), ("end", pa.int64())]


def schema() -> pa.Schema:
    """The schema: a row for each job. `parameters` is JSON; times are UTC timestamps; an unrequested list is
    null."""
    moment = pa.timestamp("us", tz="UTC")
    return pa.schema(
        [
            pa.field("external_id", pa.string(), nullable=False),
            pa.field("document_id", pa.int64(), nullable=False),
            pa.field("run", pa.int64(), nullable=False),
            pa.field("task", pa.string(), nullable=False),
            pa.field("parameters", pa.string(), nullable=False),
            pa.field("status", pa.string(), nullable=False),
            pa.field("reason", pa.string()),
            pa.field("detail", pa.string()),
            pa.field("recipe", pa.string(), nullable=False),
            pa.field("created_at", moment),
            pa.field("finished_at", moment),
            pa.field("duration_seconds", pa.float64()),
            pa.field("ranges_read", pa.list_(pa.struct(_SPAN))),
            pa.field("entities", pa.list_(_entity())),
            pa.field(
                "passages", pa.list_(pa.struct([*_SPAN, ("text", pa.string()), ("score", pa.float64())]))
            ),
            pa.field("summary", _summary()),
        ]
    )


def table(results: Iterable[dict[str, Any]], columns: pa.Schema) -> pa.Table:
    """Results as a table of that schema."""
    return pa.Table.from_pylist([_row(result) for result in results], schema=columns)


def _row(result: dict[str, Any]) -> dict[str, Any]:
    moments = {
        name: datetime.fromisoformat(result[name]) if result[name] else None
        for name in ("created_at", "finished_at")
    }
    return {**result, "parameters": json.dumps(result["parameters"], ensure_ascii=False), **moments}


def _entity() -> pa.DataType:
    attribute = pa.struct([*_SPAN, ("text", pa.string()), ("kind", pa.string())])
    words = [(name, pa.string()) for name in ("text", "label", "assertion")]
    return pa.struct([*_SPAN, *words, ("probability", pa.float64()), ("attributes", pa.list_(attribute))])


def _summary() -> pa.DataType:
    section = pa.struct([("title", pa.string()), ("text", pa.string())])
    sentence = pa.struct(
        [
            ("section", pa.string()),
            ("text", pa.string()),
            ("sources", pa.list_(pa.struct(_SPAN))),
            ("flags", pa.list_(pa.string())),
        ]
    )
    return pa.struct(
        [
            ("title", pa.string()),
            ("text", pa.string()),
            ("sections", pa.list_(section)),
            ("sentences", pa.list_(sentence)),
        ]
    )
