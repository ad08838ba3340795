"""Files on disk: which hold notes, their format, their order, and the names of their notes."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from models.documents import Document, Refused
from producer.extract.format_sniffing import ending_of_file
from producer.readers.ccda import read_cda_file
from producer.readers.csv_files import read_csv_file, read_tsv_file
from producer.readers.fhir_files import read_json_file
from producer.readers.hl7_notes import read_hl7_file
from producer.readers.json_lines import read_jsonl_file
from producer.readers.plain_text_files import read_text_file
from producer.readers.rich_text_files import MEDIA_TYPES, read_rendered_file
from producer.records.columns import ColumnChoice, SourceError
from producer.records.records import Origin

Reader = Callable[[Path, Origin, ColumnChoice], Iterator[Document | Refused]]


def _read_parquet_file(path: Path, origin: Origin, choice: ColumnChoice) -> Iterator[Document | Refused]:
    from producer.readers.parquet_files import (
        read_parquet_file,  # pyarrow takes 0.2 s that most commands need not pay
    )

    return read_parquet_file(path, origin, choice)


READERS: dict[str, Reader] = {
    ".txt": read_text_file,
    ".jsonl": read_jsonl_file,
    ".ndjson": read_jsonl_file,
    ".csv": read_csv_file,
    ".tsv": read_tsv_file,
    ".parquet": _read_parquet_file,
    ".json": read_json_file,
    ".hl7": read_hl7_file,
    ".xml": read_cda_file,
    **{ending: partial(read_rendered_file, media_type=media) for ending, media in MEDIA_TYPES.items()},
}
KNOWN_ENDINGS = ", ".join(READERS)
_SAYS_LITTLE = (".txt", ".text", ".dat", ".msg", ".out", "")
"""Endings that messages and RTF share with plain text: the content decides."""
REJECTS_ENDING = ".rejects.jsonl"
"""Ending of files that notemill writes; never read from a folder."""


def reader_of(path: Path) -> Reader | None:
    """The reader for a file by its ending without `.gz`, or by its content; None for unknown content."""
    name = path.name.lower()
    ending = Path(name.removesuffix(".gz")).suffix
    if ending in _SAYS_LITTLE:
        ending = ending_of_file(path) or ending
    reader = READERS.get(ending)
    return None if reader is _read_parquet_file and name.endswith(".gz") else reader


def read_file(path: Path, name: str, choice: ColumnChoice) -> Iterator[Document | Refused]:
    """The documents of one file, whose notes are called after `name`.

    Raises SourceError where the file as a whole is not what its ending says.
    """
    origin = Origin(source=_path_text(path), name=name)
    reader = reader_of(path)
    if reader is None:
        return iter([origin.refused("unknown file ending")])
    return reader(path, origin, choice)


def read_many(paths: Iterator[Path], base: Path | None, choice: ColumnChoice) -> Iterator[Document | Refused]:
    """The documents of many files, named by their paths from `base`, or as typed without one. A file that
    cannot be read is one refusal; the others continue."""
    for path in paths:
        try:
            yield from read_file(path, _path_text(path.relative_to(base) if base else path), choice)
        except SourceError as error:
            yield Refused(source=_path_text(path), reason=error.reason)


def walk(folder: Path) -> Iterator[Path]:
    """Every file below the folder in order of names, without hidden files and rejects files."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and not name.endswith(REJECTS_ENDING):
                yield Path(parent, name)


def matches(pattern: str) -> Iterator[Path]:
    """Every file that the glob matches, and every file below the folders it matches."""
    # Not Path.glob, which takes no absolute pattern.
    for match in sorted(glob.iglob(pattern, recursive=True)):  # noqa: PTH207
        path = Path(match)
        if not path.is_dir():
            yield path
        elif "**" not in pattern:  # which matches the files in them as well
            yield from walk(path)


def base_of(pattern: str) -> Path:
    """The folder where a glob starts: the part before its first wildcard."""
    fixed = []
    for part in Path(pattern).parts:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)


def _path_text(path: Path) -> str:
    """The path as text; a byte that is not UTF-8 is written `\xe9`."""
    return path.as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
