"""Reader for annotated or corrected notes: Label Studio JSON, brat standoff, or our own JSONL.

An entity whose text is not at its offsets is left out and counted, never moved.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from models.errors import UsageError
from training.data.brat_reader import brat_entities
from training.data.data_tables import BrokenRow, Row, read_rows

Entity = dict[str, Any]


@dataclass
class ImportedNotes:
    """The notes of a source, and counts of what was left out, by reason."""

    notes: list[Row] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)


def import_annotations(source: Path, names: Mapping[str, str], label_names: frozenset[str]) -> ImportedNotes:
    """Reads a file or, for brat, a folder of .txt and .ann. `names`: maps source labels to ours.

    Raises UsageError where nothing is in a known format, or where a label is neither mapped nor in
    `label_names`.
    """
    imported = ImportedNotes()
    for note in _read(source, imported.left_out):
        text, entities = note["text"], note["entities"]
        kept = [
            entity
            for entity in (_with_true_offsets(entity, text, imported) for entity in entities)
            if entity is not None
        ]
        for entity in kept:
            entity["label"] = names.get(entity["label"], entity["label"])
            imported.labels[entity["label"]] += 1
        imported.notes.append({**note, "entities": sorted(kept, key=lambda e: e["start"])})
    unknown = sorted(set(imported.labels) - label_names)
    if unknown:
        raise UsageError(
            f"unknown labels {', '.join(unknown)}: map them with --map SOURCE=LABEL"
            f" ({', '.join(sorted(label_names))}), or set NOTEMILL_LABELS_FILE to labels of your own"
        )
    if not imported.notes:
        left_out = "".join(f"; left out: {reason}, {count}" for reason, count in imported.left_out.items())
        raise UsageError(
            f"{source} holds no annotated note: Label Studio JSON, brat .ann with .txt, or JSONL{left_out}"
        )
    return imported


def _read(source: Path, left_out: Counter[str]) -> Iterator[Row]:
    """Yields notes with unchecked entities, and with `document`, the name in the store, if it is given."""
    if source.is_dir():
        for path in sorted(source.glob("*.ann")):  # named as `export --to brat` names them
            text_path = path.with_suffix(".txt")
            if text_path.is_file():
                try:
                    text, annotations = (file.read_bytes().decode("utf-8") for file in (text_path, path))
                except UnicodeDecodeError:
                    left_out["invalid UTF-8"] += 1
                    continue
                entities = brat_entities(annotations, left_out)
                yield _note(text, entities, path.stem, unquote(path.stem))
            else:
                left_out["an .ann without its .txt"] += 1
        return
    for number, row in enumerate(read_rows(source), start=1):
        if isinstance(row, BrokenRow):
            left_out[row.reason] += 1
        elif isinstance(row.get("data"), dict) and isinstance(row["data"].get("text"), str):
            data, annotated = row["data"], _label_studio(row)
            if annotated is None:
                left_out["a task that nobody annotated"] += 1
                continue
            yield _note(data["text"], annotated, row.get("id") or number, data.get("document"))
        elif row.get("is_complete") is False:
            # A mention that nobody reviewed would be learnt as right, and a missed one as no mention.
            left_out["a note of which not every mention was looked at"] += 1
        elif isinstance(row.get("text"), str) and isinstance(row.get("entities"), list):
            entities = [dict(entity) for entity in row["entities"] if isinstance(entity, dict)]
            yield _note(
                row["text"], entities, row.get("id") or number, row.get("document") or row.get("external_id")
            )
        else:
            left_out["no text with entities"] += 1


def _note(text: str, entities: list[Entity], number: object, document: object) -> Row:
    note: Row = {"id": str(document or number), "text": text, "entities": entities}
    return note | ({"document": str(document)} if document else {})


def _label_studio(task: Row) -> list[Entity] | None:
    """The entities of the last annotation that was not cancelled; None for a task without one."""
    done = [annotation for annotation in task.get("annotations") or [] if not annotation.get("was_cancelled")]
    if not done:
        return None
    by_region: dict[str, Entity] = {}
    for result in done[-1].get("result") or []:
        value = result.get("value") or {}
        # Results of a script may have no ids; results with the same offsets then belong to the same region.
        region = by_region.setdefault(str(result.get("id") or (value.get("start"), value.get("end"))), {})
        if value.get("labels"):
            region |= {name: value[name] for name in ("start", "end", "text") if name in value}
            region["label"] = value["labels"][0]
        if value.get("choices"):
            region["assertion"] = str(value["choices"][0]).lower()
    return [region for region in by_region.values() if "label" in region]


def _with_true_offsets(entity: Entity, text: str, imported: ImportedNotes) -> Entity | None:
    """The entity with offsets in characters; the source may count UTF-16 units, as JavaScript does.

    None, and counted, where the text is at neither.
    """
    start, end, surface = entity.get("start"), entity.get("end"), entity.get("text")
    if not isinstance(start, int) or not isinstance(end, int) or not isinstance(entity.get("label"), str):
        imported.left_out["a mention without start, end or label"] += 1
        return None
    for first, last in ((start, end), (_code_points(text, start), _code_points(text, end))):
        if 0 <= first < last <= len(text) and (surface is None or text[first:last] == surface):
            return {**entity, "start": first, "end": last, "text": text[first:last]}
    imported.left_out["a mention that is not at its place"] += 1
    return None


def _code_points(text: str, units: int) -> int:
    """An offset of a browser in characters; a browser counts a character beyond U+FFFF as two units."""
    return len(text.encode("utf-16-le")[: 2 * units].decode("utf-16-le", "ignore"))


def write_notes(notes: list[Row], file: Any) -> None:
    """Writes one note a line, as `train prepare` reads them."""
    for note in notes:
        file.write(json.dumps(note, ensure_ascii=False) + "\n")
