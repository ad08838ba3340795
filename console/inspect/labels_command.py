"""`notemill labels`: the labels in the form of a labels file, to start one's own from."""

from __future__ import annotations

from pathlib import Path

from models.labels import as_toml, load_labels
from models.settings import load_settings


def show_labels(file: Path | None) -> int:
    """Those of `file`, else the settings' ones. Raises LabelsError where the file is not in order."""
    print(as_toml(load_labels(file or load_settings().labels_file)), end="")
    return 0
