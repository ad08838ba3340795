"""Sources: a file, a folder, a glob, `-` for standard input, or a SQL query.

Every mistake in the arguments is found before the first note is read.
"""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from models.documents import Document, Refused
from models.errors import UsageError
from producer.records.columns import ColumnChoice
from producer.sources.files import KNOWN_ENDINGS, base_of, matches, read_file, read_many, reader_of, walk
from producer.sources.sql_query import SqlQuery, read_sql
from producer.sources.standard_input import ORIGIN as STANDARD_INPUT_ORIGIN
from producer.sources.standard_input import StandardInput, read_standard_input

Source = str | Path | SqlQuery | StandardInput
NO_SOURCE = "no source. Name a file, a folder, a glob, - for standard input, or --sql URL --query 'SELECT …'"
Records = Iterator[Document | Refused]


@dataclass(frozen=True, slots=True)
class OpenedSources:
    """Sources that are readable."""

    names: tuple[str, ...]
    """Names as typed, databases without credentials; stored with the run."""
    records: Records


def open_sources(sources: Sequence[Source], choice: ColumnChoice | None = None) -> OpenedSources:
    """The records of all sources, one after the other, as a stream.

    Raises UsageError that says what to type for a path that is missing, an ending that is unknown,
    a glob or folder without notes, columns that cannot be guessed, and a query that does not work.
    """
    if not sources:
        raise UsageError(NO_SOURCE)
    typed = [StandardInput() if source == "-" else source for source in sources]
    if sum(isinstance(source, StandardInput) for source in typed) > 1:
        raise UsageError("standard input (-) can be read once only.")
    naming = Naming.of(typed)
    opened = [_open(source, choice or ColumnChoice(), naming) for source in typed]
    return OpenedSources(names=tuple(map(_source_name, typed)), records=chain.from_iterable(opened))


@dataclass(frozen=True, slots=True)
class Naming:
    """Names of notes that never give two notes of two sources one id.

    A file goes by its name, a file in a folder by its path from there; where that may collide with another of
    the same submission, both go by the path as typed.
    """

    shared_file_names: frozenset[str]
    has_many_folders: bool

    @classmethod
    def of(cls, sources: Sequence[Source]) -> Naming:
        paths = [Path(source) for source in sources if isinstance(source, str | Path)]
        files = Counter(path.name for path in paths if path.is_file())
        shared = frozenset(name for name, count in files.items() if count > 1)
        return cls(shared, has_many_folders=sum(not path.is_file() for path in paths) > 1)

    def name_of(self, file: Path) -> str:
        return file.as_posix() if file.name in self.shared_file_names else file.name

    def base(self, folder: Path) -> Path | None:
        return None if self.has_many_folders else folder


def _open(source: Source, choice: ColumnChoice, naming: Naming) -> Records:
    if isinstance(source, SqlQuery):
        return _with_first_read(read_sql(source, choice))
    if isinstance(source, StandardInput):
        return _with_first_read(read_standard_input(source, choice))
    path = Path(source)
    if path.is_dir():
        return _open_many(partial(walk, path), str(path), naming.base(path), choice)
    if path.is_file():
        return _open_file(path, naming.name_of(path), choice)
    if glob.has_magic(str(source)):
        pattern = str(source)
        return _open_many(partial(matches, pattern), pattern, naming.base(base_of(pattern)), choice)
    if "://" in str(source):
        raise UsageError(
            "a database is read with a query: --sql URL --query 'SELECT id, text FROM notes'"
            " or --sql URL --preset omop"
        )
    raise UsageError(f"there is no file or folder {source}. Check the path; - is standard input.")


def _open_file(path: Path, name: str, choice: ColumnChoice) -> Records:
    if reader_of(path) is None:
        raise UsageError(
            f"cannot tell what {path} is by its ending. Known: {KNOWN_ENDINGS}, text ones also with .gz."
            f" For one plain text note type: notemill run - < {path}"
        )
    next(read_file(path, name, choice), None)  # a first look, so that a wrong column stops it here
    return read_file(path, name, choice)


def _open_many(
    list_files: Callable[[], Iterator[Path]], shown: str, base: Path | None, choice: ColumnChoice
) -> Records:
    if not any(reader_of(path) for path in list_files()):
        raise UsageError(
            f"there is nothing to read in {shown}. Known: {KNOWN_ENDINGS}, text ones also with .gz."
        )
    return read_many(list_files(), base, choice)


def _with_first_read(records: Records) -> Records:
    """The same records with the first already read, since a stream cannot be read twice."""
    first = next(records, None)
    return records if first is None else chain([first], records)


def _source_name(source: Source) -> str:
    if isinstance(source, SqlQuery):
        return source.shown
    return STANDARD_INPUT_ORIGIN.source if isinstance(source, StandardInput) else str(source)
