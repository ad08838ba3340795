"""Reader for plain text files: one note a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from models.documents import Document, Refused
from producer.records.byte_streams import UnreadableError, open_bytes, read_whole
from producer.records.columns import ColumnChoice, Columns
from producer.records.records import Origin, as_document

_NAMED_BY_FILE = Columns(text="text", id=None)


def read_text_file(path: Path, origin: Origin, choice: ColumnChoice) -> Iterator[Document | Refused]:  # noqa: ARG001
    """The one note in the file, character for character but for a byte order mark at its start."""
    try:
        with open_bytes(path) as stream:
            yield from read_text(stream, origin)
    except UnreadableError as refusal:
        yield origin.refused(refusal.reason)


def read_text(stream: BinaryIO, origin: Origin) -> Iterator[Document | Refused]:
    """The whole stream as one note, called by the origin's name."""
    try:
        text = read_whole(stream).decode("utf-8")
    except UnreadableError as refusal:
        yield origin.refused(refusal.reason)
        return
    except UnicodeDecodeError:
        yield origin.refused("invalid UTF-8")
        return
    yield as_document({"text": text}, _NAMED_BY_FILE, origin, None)
