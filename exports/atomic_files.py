"""Atomic files and folders: they appear under their name when complete, and never half written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from exports.scratch_folders import scratch_folder
from models.errors import UsageError

MARK = "_notemill.json"
"""Marker file in every folder that an export made; only such a folder is replaced. Parquet readers skip names
with `_`."""


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name when the block ends well, and never half written; mode 0600.

    A process that is killed meanwhile leaves what the next export to this name removes."""
    with _scratch(path) as folder:
        scratch = folder / path.name
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder of mode 0700, under another name until the block ends well. Replaces what an earlier export
    left under this name. Raises UsageError where files of others are there."""
    _check_is_ours(path)
    with _scratch(path) as folder:
        scratch = folder / "new"
        scratch.mkdir(mode=0o700)
        yield scratch
        if path.exists():
            # Not one step, as with a file: for a moment there is neither the old folder nor the new one.
            path.replace(folder / "old")
        scratch.replace(path)


@contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """A scratch folder beside the target. Raises UsageError where none can be made."""
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(scratch_folder(path.parent, f".{path.name}"))
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from None
        yield folder


def _check_is_ours(path: Path) -> None:
    if path.is_file():
        raise UsageError(f"{path} is a file, and this form is a folder: name another --output.")
    if path.is_dir() and any(path.iterdir()) and not (path / MARK).is_file():
        raise UsageError(
            f"{path} holds files that are not notemill's: name another --output, or move them away."
        )
