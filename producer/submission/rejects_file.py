"""The rejects file: one JSON object for each refused record, without text of notes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from models.documents import Refused
from models.errors import UsageError


class RejectsFile:
    """Written as `….partial` and renamed at the end; no file where nothing is refused. Mode 0600, since it
    holds ids. A context manager; an interrupted run keeps what it has."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(path.name + ".partial")
        self._file: TextIO | None = None
        self.by_reason: Counter[str] = Counter()

    def __enter__(self) -> RejectsFile:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._file is not None:
            self._file.close()
            self._partial.replace(self._path)

    @property
    def count(self) -> int:
        return self.by_reason.total()

    @property
    def path(self) -> Path | None:
        """Path of the file; None as long as nothing was refused."""
        return self._path if self.count else None

    def write(self, refused: Iterable[Refused]) -> None:
        """Adds a line for each record. Raises UsageError where the file cannot be made."""
        for record in refused:
            if self._file is None:
                self._file = self._open()
            self._file.write(record.model_dump_json() + "\n")
            self.by_reason[record.reason] += 1

    def _open(self) -> TextIO:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise UsageError(f"cannot write the rejects file {self._path}: {error.strerror}") from None
        return os.fdopen(descriptor, "w", encoding="utf-8")
