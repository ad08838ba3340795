"""Commands on a trained adapter: `notemill train merge`, `train lexicon` and `train join`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from console.terminal.terminal import stderr, stdout
from models.errors import UsageError
from models.security.training_provenance import record_trained_folder
from models.settings import load_settings
from worker.weights.lexicon import LEXICON_FILE
from worker.weights.model_files import prepared_folder

if TYPE_CHECKING:
    from training.finetune.gguf_files import FileType


def merge_adapter(adapter: Path, output: Path, weights: str | None, gguf: FileType | None) -> int:
    """Merges an adapter into its weights and prints the folder. Raises NotemillError."""
    from training.finetune.merge_adapter import merge

    settings = load_settings()
    settings = settings.model_copy(update={"weights": weights} if weights else {})
    record_trained_folder(settings, output)
    console = stderr()
    merge(prepared_folder(settings), adapter, output, lambda step: console.print(step, soft_wrap=True), gguf)
    stdout().print(str(output), soft_wrap=True)
    return 0


def add_names(adapter: Path, data: Sequence[Path], lists: Sequence[str], as_json: bool) -> int:
    """Adds a lexicon to an adapter and prints the number of names by label. `lists`: LABEL=FILE, one name a
    line. Raises NotemillError."""
    from training.calibration.lexicon_builder import add_lexicon

    files: dict[str, list[Path]] = {}
    for pair in lists:
        label, separator, file = pair.partition("=")
        if not (label and separator and file):
            raise UsageError(f"--names {pair}: write LABEL=FILE, such as medication=formulary.txt")
        files.setdefault(label, []).append(Path(file))
    record_trained_folder(load_settings(), adapter)
    counts = add_lexicon(adapter, data, files)
    if as_json:
        print(json.dumps(counts))
        return 0
    counts_by_label = ", ".join(f"{label} {count:,}" for label, count in counts.items()) or "none"
    stdout().print(f"names known: {counts_by_label}", soft_wrap=True)
    stdout().print(f"written to {adapter / LEXICON_FILE}", soft_wrap=True)
    return 0


def join_search(adapter: Path, data: Sequence[Path], weights: str | None, limit: int, as_json: bool) -> int:
    """Fits the ranking model and the negation model of an adapter, and prints the metrics on the fitting
    data. Raises NotemillError."""
    from training.calibration.fit_ranking import fit_ranking

    settings = load_settings()
    settings = settings.model_copy(update={"weights": weights} if weights else {})
    console = stderr()
    report = fit_ranking(adapter, data, settings, limit, lambda line: console.print(line, soft_wrap=True))
    if as_json:
        print(json.dumps(report))
        return 0
    for name, metrics in report["dev"].items():
        scores = f"MAP {metrics['map']:.3f}, set F1 {metrics['set_f1']:.3f}"
        stdout().print(f"{name}: {metrics['queries']} queries, {scores}", soft_wrap=True)
    stdout().print(f"written to {adapter / 'notemill.json'}", soft_wrap=True)
    return 0
