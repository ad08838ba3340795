"""`notemill annotate import`: converts annotated notes to a file that `notemill train prepare` reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from console.terminal.terminal import command_to_type, count_of, stdout
from models.errors import UsageError
from models.labels import load_labels
from models.settings import load_settings
from training.data.annotations import import_annotations, write_notes
from training.data.prepared_folder import open_private


def import_notes(source: Path, output: Path, maps: Sequence[str], *, as_json: bool) -> int:
    """Writes the notes and prints the counts of omitted annotations. Raises UsageError."""
    names = dict(_pair(label_map) for label_map in maps)
    label_names = frozenset(label.name for label in load_labels(load_settings().labels_file))
    imported = import_annotations(source, names, label_names)
    with open_private(output) as file:
        write_notes(imported.notes, file)
    if as_json:
        facts = {
            "notes": len(imported.notes),
            "labels": dict(imported.labels),
            "left_out": dict(imported.left_out),
        }
        print(json.dumps({"output": str(output), **facts}))
        return 0
    console = stdout()
    labels = ", ".join(f"{name} {count:,}" for name, count in imported.labels.most_common())
    console.print(f"{count_of(len(imported.notes), 'note')}: {labels or 'no mentions'}", soft_wrap=True)
    for reason, count in imported.left_out.items():
        console.print(f"left out: {reason}, {count:,}", soft_wrap=True)
    console.print(
        f"Next: {command_to_type('train', 'prepare', str(output), '--output', 'prepared')}", soft_wrap=True
    )
    return 0


def _pair(text: str) -> tuple[str, str]:
    source, is_pair, label = text.partition("=")
    if not (source and is_pair and label):
        raise UsageError(f"--map wants SOURCE=LABEL, e.g. Disease=problem, not {text!r}")
    return source, label
