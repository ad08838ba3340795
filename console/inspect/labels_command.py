"""`notemill labels`: the labels in the format of a labels file."""

from __future__ import annotations

from pathlib import Path

from models.labels import as_toml, load_labels
from models.settings import load_settings


def show_labels(file: Path | None) -> int:
    """Prints the labels of `file`, otherwise of the settings. Raises LabelsError for an invalid file."""
    print(as_toml(load_labels(file or load_settings().labels_file)), end="")
    return 0
