"""Which adapters, and which prepared folders, have been made of a document: for the receipt of a purge.

Such a folder lists in `trained_on.txt` a digest a line: the sha256 of each text, and one of the name of each
document, since a text may come back from an annotation tool with other line ends. The adapter that comes
along was trained on public corpora alone and has none.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Set
from pathlib import Path

from models.settings import Settings

TRAINED_ON = "trained_on.txt"
_FOLDERS = "trained_folders.txt"
"""In the home folder, a path a line: where `train` has written, wherever that was."""


def document_name_sha256(external_id: str) -> str:
    """The digest of a document's name; told apart from that of a text of the same characters."""
    return hashlib.sha256(f"document\n{external_id}".encode(errors="surrogatepass")).hexdigest()


def write_trained_on(folder: Path, digests: Iterable[str]) -> None:
    """Whole or not at all, readable by its owner."""
    scratch = folder / f".{TRAINED_ON}"
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(f"{digest}\n" for digest in sorted(set(digests)))
    scratch.rename(folder / TRAINED_ON)


def read_trained_on(folder: Path) -> frozenset[str]:
    """The digests in the folder's list; empty where it has none."""
    path = folder / TRAINED_ON
    return frozenset(path.read_text("utf-8").split()) if path.is_file() else frozenset()


def record_trained_folder(settings: Settings, folder: Path) -> None:
    """A purge looks here from now on; called before anything is written there."""
    settings.home_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path, line = settings.home_folder / _FOLDERS, str(folder.expanduser().absolute())
    if line not in _remembered(path):
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w") as file:
            file.write(line + "\n")


def folders_trained_on(settings: Settings, text_sha256s: Set[str], external_ids: Set[str]) -> list[Path]:
    """Those that list one of the texts or documents: what `train` has written, what the settings name, and
    what lies under `adapters/` in the home folder."""
    wanted = text_sha256s | {document_name_sha256(one) for one in external_ids}
    folders = [*sorted((settings.home_folder / "adapters").glob("*"))]
    folders += [Path(one).absolute() for one in (settings.adapter, settings.weights) if Path(one).is_dir()]
    folders += [Path(line) for line in _remembered(settings.home_folder / _FOLDERS)]
    return [folder for folder in dict.fromkeys(folders) if _has_seen(folder / TRAINED_ON, wanted)]


def _remembered(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines() if path.is_file() else []


def _has_seen(path: Path, wanted: Set[str]) -> bool:
    if not path.is_file():
        return False
    with path.open(encoding="utf-8") as lines:
        return any(line.strip() in wanted for line in lines)
