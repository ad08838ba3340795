"""Corpora with stand-off annotations: offsets are committed here, the texts come from a folder of the user's.

The notes of MTSamples and ACI-Bench are public but not ours to distribute. A corpus file therefore has, for
each note, its id, the sha256 of its text, and annotations by character offset.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from exports.atomic_files import whole_file
from models.errors import UsageError

FOLDER = Path(__file__).parents[1] / "corpora"
SPLITS = ("train", "dev", "test")
_TEXT_FIELDS = ("text", "note")
"""The field of a note's text: MTSamples has `text`, ACI-Bench has `note` beside the dialogue."""


def names() -> list[str]:
    """The names of the corpora."""
    return sorted(path.stem for path in FOLDER.glob("*.jsonl"))


def rebuild(name: str, notes: Path, output: Path) -> dict[str, int]:
    """Writes train.jsonl, dev.jsonl and test.jsonl with texts; returns the number of notes by split.

    `notes`: a file of JSON lines, or a folder of them, with `id` and `text` or `note`. Raises UsageError for
    an unknown corpus, and where a text is missing or is not the annotated one.
    """
    if name not in names():
        raise UsageError(f"there is no corpus {name!r}. Corpora: {', '.join(names())}")
    rows = [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_bytes().splitlines()]
    texts = _texts(notes, {row["id"] for row in rows})
    missing = [row["id"] for row in rows if row["id"] not in texts]
    if missing:
        raise UsageError(
            f"{notes} lacks {len(missing)} of {len(rows)} notes, for example {missing[0]!r}: give the file or"
            f" folder of JSON lines that has them"
        )
    output.mkdir(parents=True, exist_ok=True)
    counts = {}
    for split in SPLITS:
        records = [_record(row, texts[row["id"]]) for row in rows if row["split"] == split]
        counts[split] = len(records)
        with whole_file(output / f"{split}.jsonl") as file:
            file.writelines((json.dumps(record, ensure_ascii=False) + "\n").encode() for record in records)
    return counts


def _texts(notes: Path, wanted: set[str]) -> dict[str, str]:
    """Texts by id, of the wanted notes that are there."""
    if not notes.exists():
        raise UsageError(f"there is no file or folder {notes}")
    paths = sorted(notes.glob("*.jsonl")) if notes.is_dir() else [notes]
    return {id_: text for path in paths for id_, text in _notes_of(path) if id_ in wanted}


def _notes_of(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_bytes().splitlines():
        note = json.loads(line)
        text = next((note[field] for field in _TEXT_FIELDS if field in note), None)
        if text is not None and "id" in note:
            yield str(note["id"]), text


def _record(row: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The annotated note in the format of training and evaluation."""
    if hashlib.sha256(text.encode()).hexdigest() != row["text_sha256"]:
        raise UsageError(f"the text of {row['id']!r} is not the one that was annotated")
    entities = [{**entity, "text": text[entity["start"] : entity["end"]]} for entity in row["entities"]]
    kept = {key: value for key, value in row.items() if key not in ("split", "text_sha256", "entities")}
    return {"id": row["id"], "text": text, "entities": entities, **kept}
