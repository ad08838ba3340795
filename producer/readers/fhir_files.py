"""Reader for `.json` files with one FHIR resource, most often a Bundle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from models.documents import Document, Refused
from producer.readers.fhir_notes import is_fhir, read_resources
from producer.records.byte_streams import UnreadableError, open_bytes, read_whole
from producer.records.columns import ColumnChoice, SourceError
from producer.records.records import Origin

MAX_BUNDLE_BYTES = 512 * 1024 * 1024
"""Largest Bundle, which is read whole; exports of archives are NDJSON, read line by line."""


def read_json_file(path: Path, origin: Origin, choice: ColumnChoice) -> Iterator[Document | Refused]:  # noqa: ARG001
    """The notes in the Bundle or resource. Raises SourceError where the JSON is of another kind."""
    try:
        with open_bytes(path) as stream:
            yield from read_json(stream, origin)
    except UnreadableError as refusal:
        yield origin.refused(refusal.reason)


def read_json(stream: BinaryIO, origin: Origin) -> Iterator[Document | Refused]:
    """The notes in the Bundle or resource of a stream."""
    content = read_whole(stream, MAX_BUNDLE_BYTES)
    try:
        value = json.loads(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise UnreadableError("invalid UTF-8") from None
    except (ValueError, RecursionError):
        raise UnreadableError("malformed JSON") from None
    if not isinstance(value, dict) or not is_fhir(value):
        raise SourceError(
            f"{origin.source} is JSON, but no FHIR resource. Notes as JSON go one a line into a .jsonl file.",
            reason="JSON that is no FHIR resource",
        )
    yield from read_resources([(None, value)], origin)
