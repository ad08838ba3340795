"""Training provenance: the adapters and prepared folders that a document trained, for the receipt of a purge.

Such a folder lists digests in `trained_on.txt`, one a line: the sha256 of each text, and of each document's
name, since an annotation tool may change a text's line ends. The shipped adapter was trained on public
corpora only and has no list.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Set
from pathlib import Path

from models.settings import Settings

TRAINED_ON = "trained_on.txt"
_FOLDERS = "trained_folders.txt"
"""A file in the home folder: the folders that `train` has written, one path a line."""


def document_name_sha256(external_id: str) -> str:
    """The digest of a document's name; it differs from that of a text with the same characters."""
    return hashlib.sha256(f"document\n{external_id}".encode(errors="surrogatepass")).hexdigest()


def write_trained_on(folder: Path, digests: Iterable[str]) -> None:
    """Writes the list atomically, readable by its owner only."""
    scratch = folder / f".{TRAINED_ON}"
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(f"{digest}\n" for digest in sorted(set(digests)))
    scratch.rename(folder / TRAINED_ON)


def read_trained_on(folder: Path) -> frozenset[str]:
    """The digests in the folder's list; empty without a list."""
    path = folder / TRAINED_ON
    return frozenset(path.read_text("utf-8").split()) if path.is_file() else frozenset()


def record_trained_folder(settings: Settings, folder: Path) -> None:
    """Makes a purge check this folder from now on; called before anything is written there."""
    settings.home_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path, line = settings.home_folder / _FOLDERS, str(folder.expanduser().absolute())
    if line not in _recorded(path):
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w") as file:
            file.write(line + "\n")


def folders_trained_on(settings: Settings, text_sha256s: Set[str], external_ids: Set[str]) -> list[Path]:
    """The folders that list one of the texts or documents: those that `train` wrote, those in the settings,
    and those under `adapters/` in the home folder."""
    wanted = text_sha256s | {document_name_sha256(external_id) for external_id in external_ids}
    folders = [*sorted((settings.home_folder / "adapters").glob("*"))]
    folders += [Path(name).absolute() for name in (settings.adapter, settings.weights) if Path(name).is_dir()]
    folders += [Path(line) for line in _recorded(settings.home_folder / _FOLDERS)]
    return [folder for folder in dict.fromkeys(folders) if _lists_any(folder / TRAINED_ON, wanted)]


def _recorded(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines() if path.is_file() else []


def _lists_any(path: Path, wanted: Set[str]) -> bool:
    if not path.is_file():
        return False
    with path.open(encoding="utf-8") as lines:
        return any(line.strip() in wanted for line in lines)
