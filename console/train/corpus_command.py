"""`notemill train corpus`: puts the texts of public notes and our annotations of them together."""

from __future__ import annotations

import json
from pathlib import Path

from console.terminal.terminal import command_to_type, count_of, stdout
from models.security.training_provenance import record_trained_folder
from models.settings import load_settings
from training.data.standoff_corpus import rebuild


def write_corpus(name: str, notes: Path, output: Path, *, as_json: bool) -> int:
    """Writes the corpus and prints its size. Raises UsageError."""
    record_trained_folder(load_settings(), output)
    counts = rebuild(name, notes, output)
    if as_json:
        print(json.dumps({"output": str(output), **counts}))
        return 0
    sizes = ", ".join(f"{count} {split}" for split, count in counts.items())
    console = stdout()
    console.print(f"{count_of(sum(counts.values()), 'note')} in {output}: {sizes}.", soft_wrap=True)
    evaluate = command_to_type("train", "evaluate", "--task", "all", "--data", str(output / "dev.jsonl"))
    console.print(f"To measure, type: {evaluate}", soft_wrap=True)
    return 0
