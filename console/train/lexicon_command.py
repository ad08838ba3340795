"""`notemill train lexicon`: builds the lexicon of annotated notes beside an adapter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from console.terminal.terminal import stdout
from models.errors import UsageError
from models.security.training_provenance import record_trained_folder
from models.settings import load_settings
from worker.weights.lexicon import LEXICON_FILE


def add_names(adapter: Path, data: Sequence[Path], lists: Sequence[str], as_json: bool) -> int:
    """Prints the number of names of each label. `lists`: LABEL=FILE. Raises NotemillError."""
    from training.calibration.lexicon_builder import add_lexicon

    files: dict[str, list[Path]] = {}
    for one in lists:
        label, given, file = one.partition("=")
        if not (label and given and file):
            raise UsageError(f"--names {one}: write LABEL=FILE, such as medication=formulary.txt")
        files.setdefault(label, []).append(Path(file))
    record_trained_folder(load_settings(), adapter)
    counts = add_lexicon(adapter, data, files)
    if as_json:
        print(json.dumps(counts))
        return 0
    told = ", ".join(f"{label} {count:,}" for label, count in counts.items()) or "none"
    stdout().print(f"names known: {told}", soft_wrap=True)
    stdout().print(f"written to {adapter / LEXICON_FILE}", soft_wrap=True)
    return 0
