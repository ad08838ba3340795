"""CSV and TSV files with a header line: one note a row, fields quoted where necessary (RFC 4180)."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from models.documents import Document, Refused
from producer.records.byte_streams import MAX_RECORD_BYTES, Lines, UnreadableError, open_bytes
from producer.records.columns import ColumnChoice, SourceError
from producer.records.records import Origin, as_document

Row = tuple[int, list[str]]


def read_csv_file(path: Path, origin: Origin, choice: ColumnChoice) -> Iterator[Document | Refused]:
    """The documents of a CSV file, separated by commas, or by semicolons where the header is."""
    return _read_file(path, origin, choice, None)


def read_tsv_file(path: Path, origin: Origin, choice: ColumnChoice) -> Iterator[Document | Refused]:
    """The documents of a TSV file."""
    return _read_file(path, origin, choice, "\t")


def _read_file(
    path: Path, origin: Origin, choice: ColumnChoice, delimiter: str | None
) -> Iterator[Document | Refused]:
    try:
        with open_bytes(path) as stream:
            yield from read_delimited(stream, origin, choice, delimiter)
    except UnreadableError as refusal:
        yield origin.refused(refusal.reason)


def read_delimited(
    stream: BinaryIO, origin: Origin, choice: ColumnChoice, delimiter: str | None
) -> Iterator[Document | Refused]:
    """The documents of a stream, each under the physical line its row begins on.

    Raises SourceError where the header has no text column; the message names those it has.
    """
    rows = _rows(Lines(stream), origin, delimiter)
    header = next(rows, None)
    if header is None or isinstance(header, Refused):
        reason = header.reason if header else "no header"
        raise SourceError(f"{origin.source} has no header line that can be read ({reason}).", reason=reason)
    names = _distinct(header[1])
    columns = choice.among(names, origin.source)
    for row in rows:
        if isinstance(row, Refused):
            yield row
        elif len(row[1]) != len(names):
            yield origin.refused(f"row has {len(row[1])} fields where the header has {len(names)}", row[0])
        else:
            yield as_document(dict(zip(names, row[1], strict=True)), columns, origin, row[0])


def _rows(lines: Lines, origin: Origin, delimiter: str | None) -> Iterator[Row | Refused]:
    # The module's limit is global and 128 kB; a note on one line may well be longer.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD_BYTES))
    text = _DecodedLines(lines)
    rows: Iterator[list[str]] | None = None
    is_lost = False
    while True:
        text.begin_row()
        begins_at = lines.number + 1
        try:
            if rows is None:
                # strict: a quote that is not doubled would otherwise move text from field to field.
                rows = csv.reader(text, delimiter=delimiter or text.detect_delimiter(), strict=True)
                begins_at = lines.number
            row = next(rows)
        except StopIteration:
            return
        except (UnreadableError, csv.Error) as error:
            is_lost = True
            yield origin.refused(_reason(error, begins_at, lines.number), begins_at)
            continue
        if not row:
            continue
        # Inside the text of a note whose quotes do not pair up, a line can have as many commas as the
        # header. No document must be made of it: a row counts again from the next field in quotes.
        is_lost = is_lost and not text.begins_quoted
        if is_lost:
            yield origin.refused("after a malformed row", begins_at)
        elif not all(map(_is_utf8, row)):
            yield origin.refused("invalid UTF-8", begins_at)
        else:
            yield begins_at, row


class _DecodedLines(Iterator[str]):
    """Lines as text for csv.reader, which joins the lines of one row. A byte that is not UTF-8 becomes a lone
    surrogate, so that it spoils only its own row."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._next: str | None = None
        self.begin_row()

    def begin_row(self) -> None:
        self.begins_quoted = False
        """The first line of the present row has a field in quotes."""
        self._is_first_line = True

    def detect_delimiter(self) -> str:
        self._next = next(self._lines).decode("utf-8", "surrogateescape")
        return ";" if ";" in self._next and "," not in self._next else ","

    def __next__(self) -> str:
        line, self._next = self._next or next(self._lines).decode("utf-8", "surrogateescape"), None
        if self._is_first_line:
            self.begins_quoted = re.search(r'(^|[,;\t])"', line) is not None
            self._is_first_line = False
        return line


def _reason(error: UnreadableError | csv.Error, begins_at: int, ends_at: int) -> str:
    if isinstance(error, UnreadableError):
        return error.reason
    return "malformed row" if ends_at <= begins_at else f"malformed row (to line {ends_at})"


def _is_utf8(field: str) -> bool:
    try:
        field.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _distinct(header: list[str]) -> list[str]:
    """The header with a name for each column: `x`, `x.2`; `column_3` for one without."""
    seen: Counter[str] = Counter()
    names = []
    for position, given in enumerate(header, start=1):
        name = given or f"column_{position}"
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}.{seen[name]}")
    return names
