"""Standard input: JSON Lines if it begins with `{`, HL7 v2 with `MSH`, otherwise one plain text note; gzip
too."""

from __future__ import annotations

import io
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal, cast

from models.documents import Document, Refused
from producer.extract.format_sniffing import HL7_HEAD
from producer.readers.hl7_notes import read_hl7
from producer.readers.json_lines import read_jsonl
from producer.readers.plain_text_files import read_text
from producer.records.byte_streams import UTF8_BOM, gunzipped, unreadable
from producer.records.columns import ColumnChoice
from producer.records.records import Origin

HEAD_BYTES = 64 * 1024
"""White space that may precede the first character that tells the format."""
ORIGIN = Origin(source="standard input", name="stdin")


@dataclass(frozen=True, slots=True)
class StandardInput:
    """A source: `-`, and the format where it was forced."""

    form: Literal["hl7", "jsonl", "text"] | None = None


def read_standard_input(
    source: StandardInput, choice: ColumnChoice, stream: BinaryIO | None = None
) -> Iterator[Document | Refused]:
    """The documents on standard input, or on another stream that cannot be rewound."""
    try:
        content = _rejoined(gunzipped(_rejoined(stream or sys.stdin.buffer)))
        form = source.form or _form(cast(io.BufferedReader, content))
    except (EOFError, zlib.error, OSError) as error:
        yield ORIGIN.refused(unreadable(error).reason)
        return
    if form == "hl7":
        yield from read_hl7(content, ORIGIN)
    else:
        yield from read_jsonl(content, ORIGIN, choice) if form == "jsonl" else read_text(content, ORIGIN)


def _form(content: io.BufferedReader) -> Literal["hl7", "jsonl", "text"]:
    head = content.peek(HEAD_BYTES).removeprefix(UTF8_BOM).lstrip()
    if HL7_HEAD.match(head):
        return "hl7"
    return "jsonl" if head.startswith(b"{") else "text"


def _rejoined(stream: BinaryIO) -> BinaryIO:
    """The same bytes, with the first that are not white space in view. A pipe's writer decides how few bytes
    a first read returns; a peek alone could see one blank."""
    head = b""
    while len(head) < HEAD_BYTES and len(head.removeprefix(UTF8_BOM).strip()) < 3:
        part = cast(io.BufferedReader, stream).read1(HEAD_BYTES)
        if not part:
            break
        head += part
    return cast(BinaryIO, io.BufferedReader(_Chained(head, stream), buffer_size=2 * HEAD_BYTES))


class _Chained(io.RawIOBase):
    """`head`, then the rest of `stream`."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = head
        self._stream = cast(io.BufferedReader, stream)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        # read1: a read that goes on until it has all would lose what it had when gzip breaks off.
        part = self._head[: len(buffer)] or self._stream.read1(len(buffer))
        self._head = self._head[len(part) :]
        buffer[: len(part)] = part
        return len(part)
