"""Files of a source that are new or have changed since they were last read."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from models.errors import UsageError
from models.store.nightly_runs import FileState
from producer.records.columns import ColumnChoice
from producer.sources.files import base_of, matches, read_many, walk
from producer.sources.sources import Naming, Records

_PATHS_PER_QUERY = 1_000
KnownFiles = Callable[[Sequence[str]], Mapping[str, FileState]]
"""Files that were read before, by path, with their state then."""


class ChangedFiles:
    """A stream of the records of changed files; afterwards `states` holds every file that was read."""

    def __init__(self, sources: Sequence[str], known_files: KnownFiles, choice: ColumnChoice) -> None:
        """Raises UsageError where a source does not exist."""
        self.states: dict[str, FileState] = {}
        """State of each file before it was read, by path: later additions are read the next time."""
        self._known_files = known_files
        self._choice = choice
        self._naming = Naming.of(sources)
        self._sources = [(source, *_files_of_source(source)) for source in sources]

    def records(self) -> Records:
        for _, list_files, base in self._sources:
            for path in self._changed(list_files()):
                naming = self._naming.base(base) if base else path.parent
                yield from read_many(iter([path]), naming, self._choice)

    def _changed(self, paths: Iterator[Path]) -> Iterator[Path]:
        while page := list(islice(paths, _PATHS_PER_QUERY)):
            states = dict(_states(page))
            states_before = self._known_files(list(states))
            for path, state in states.items():
                if states_before.get(path) != state:
                    self.states[path] = state
                    yield Path(path)


def _states(paths: Iterable[Path]) -> Iterator[tuple[str, FileState]]:
    for path in paths:
        try:
            status = path.stat()
        except OSError:  # it went away after it was listed
            continue
        yield str(path), FileState(status.st_size, status.st_mtime_ns)


def _files_of_source(source: str) -> tuple[Callable[[], Iterator[Path]], Path | None]:
    """The files of a source, and the folder from which their notes are named; None for a single file."""
    path = Path(source).expanduser()
    if path.is_dir():
        return lambda: walk(path), path
    if path.is_file():
        return lambda: iter([path]), None
    if glob.has_magic(source):
        return lambda: matches(str(path)), base_of(str(path))
    raise UsageError(f"there is no file or folder {source}. Check `sources` in the plan.")
