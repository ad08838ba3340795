"""Scratch folders for unfinished output, removed after the block, or after a SIGKILL by the next one.

Each is locked by its process; a lock ends with the process, so an unlocked folder was left behind.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_ENDING = ".unfinished"


@contextmanager
def scratch_folder(parent: Path, name: str) -> Iterator[Path]:
    """A folder of mode 0700 whose name begins with `name`; the block may rename it. Raises OSError."""
    remove_left_behind(parent, name)
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=f"{name}.", suffix=_ENDING))
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_left_behind(parent: Path, name: str) -> None:
    """Removes scratch folders of killed processes under this name."""
    for folder in parent.glob(f"{_literal(name)}.*{_ENDING}"):
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(lock)


def _literal(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)
