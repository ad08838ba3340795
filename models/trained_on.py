"""Which adapters have seen a text: an adapter's folder may list the sha256 of each in `trained_on.txt`.

Whoever trains on stored notes writes that file beside the adapter, one hash a line; the adapter that
comes along was trained on public corpora alone and has none.
"""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

from models.settings import Settings

TRAINED_ON = "trained_on.txt"


def adapters_trained_on(settings: Settings, text_sha256s: Set[str]) -> list[str]:
    """The folders of the adapters that list one of the texts: the one in the settings, and those under
    `adapters/` in the home folder."""
    folders = [*sorted((settings.home_folder / "adapters").glob("*"))]
    if settings.adapter not in ("auto", "none"):
        folders.append(Path(settings.adapter))
    return [str(folder) for folder in dict.fromkeys(folders) if _has_seen(folder / TRAINED_ON, text_sha256s)]


def _has_seen(path: Path, text_sha256s: Set[str]) -> bool:
    if not path.is_file():
        return False
    with path.open(encoding="utf-8") as lines:
        return any(line.strip() in text_sha256s for line in lines)
