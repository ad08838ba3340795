"""Files and folders that appear under their name when all is in them, and never half written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from models.errors import UsageError

MARK = "_notemill.json"
"""In every folder that we made; only such a one is replaced. Readers of Parquet skip names with a `_`."""


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name when the block ends well, and never half written; mode 0600."""
    try:
        descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder of mode 0700, under another name until the block ends well. What an earlier export left
    under this name is replaced. Raises UsageError where somebody else's files are there."""
    _check_is_ours(path)
    try:
        scratch = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    try:
        yield scratch
        if path.exists():
            # Not one step, as with a file: for a moment there is neither the old folder nor the new one.
            old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
            path.replace(old)
            scratch.replace(path)
            shutil.rmtree(old)
        else:
            scratch.replace(path)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _check_is_ours(path: Path) -> None:
    if path.is_file():
        raise UsageError(f"{path} is a file, and this form is a folder: name another --output.")
    if path.is_dir() and any(path.iterdir()) and not (path / MARK).is_file():
        raise UsageError(
            f"{path} holds files that are not notemill's: name another --output, or move them away."
        )
