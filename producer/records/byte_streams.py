"""Reads bytes and lines from a path or a stream; decompresses gzip and limits the memory that it takes.

Knows nothing of records or columns. Failures inside an archive are `UnreadableError`, a value to refuse
one line or the rest by; only an explicit caller makes an error for the operator of it.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

GZIP_MAGIC = b"\x1f\x8b\x08"
"""RFC 1952, with deflate as the method, the only one there is."""
UTF8_BOM = b"\xef\xbb\xbf"
MAX_RECORD_BYTES = 64 * 1024 * 1024
"""The longest line, or whole text file, that is read: a note is kilobytes, so more is not a note."""

_READ_BYTES = 2**20


class UnreadableError(Exception):
    """A line, or all that follows it, cannot be read; `reason` is short and fixed, free of text."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def open_bytes(path: Path) -> BinaryIO:
    """The file's bytes, gunzipped where they begin as gzip does, whatever the file is called.

    Raises UnreadableError where the file cannot be opened.
    """
    try:
        return gunzipped(path.open("rb"))
    except OSError as error:
        raise unreadable(error) from None


def gunzipped(stream: BinaryIO) -> BinaryIO:
    """The stream, decompressed if it is gzip. `stream` must be able to peek."""
    buffered = cast(io.BufferedReader, stream)
    if buffered.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC):
        return cast(BinaryIO, gzip.GzipFile(fileobj=stream, mode="rb"))
    return stream


def read_whole(stream: BinaryIO, max_bytes: int = MAX_RECORD_BYTES) -> bytes:
    """Everything in the stream without a byte order mark. Raises UnreadableError."""
    content, part = bytearray(), b"-"
    try:
        # In parts: one read of so many bytes takes memory for all of them, even if the file is short.
        while part and len(content) <= max_bytes:
            part = stream.read(min(_READ_BYTES, max_bytes + 1 - len(content)))
            content += part
    except (EOFError, zlib.error, OSError) as error:
        raise unreadable(error) from None
    if len(content) > max_bytes:
        raise UnreadableError(f"longer than {max_bytes // 2**20} MiB")
    return bytes(content.removeprefix(UTF8_BOM))


class Lines(Iterator[bytes]):
    r"""Physical lines, each with its line end (only `\n` ends one), the first without a byte order mark.

    A line that is too long, or the point where a compressed file is damaged, raises UnreadableError; the
    iteration goes on after it, or ends where there is no more.
    """

    def __init__(self, stream: BinaryIO, max_bytes: int = MAX_RECORD_BYTES) -> None:
        self.number = 0
        """1-based number of the line that was read last, or that was found unreadable."""
        self._stream = stream
        self._max_bytes = max_bytes
        self._has_ended = False

    def __next__(self) -> bytes:
        line = self._line_part()
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) > self._max_bytes:
            while line and not line.endswith(b"\n"):
                line = self._line_part()
            raise UnreadableError(f"longer than {self._max_bytes // 2**20} MiB")
        return line.removeprefix(UTF8_BOM) if self.number == 1 else line

    def _line_part(self) -> bytes:
        if self._has_ended:
            return b""
        try:
            return self._stream.readline(self._max_bytes + 1)
        except (EOFError, zlib.error, OSError) as error:
            self._has_ended = True
            self.number += 1
            raise unreadable(error) from None


def unreadable(error: Exception) -> UnreadableError:
    """The error for an exception of open, read or gunzip, with a reason in fixed words."""
    if isinstance(error, EOFError | zlib.error | gzip.BadGzipFile):
        return UnreadableError("truncated or damaged gzip")
    strerror = error.strerror if isinstance(error, OSError) else None
    return UnreadableError(f"cannot be read: {strerror or type(error).__name__}")
