"""Annotated or corrected notes: Label Studio JSON, brat standoff, or our own JSONL.

Each becomes a note with entities at true offsets; an entity that is not at its offsets is left out and
counted, never moved.
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
    """What was read, and what was left out and why."""

    notes: list[Row] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)


def import_annotations(source: Path, names: Mapping[str, str], known: frozenset[str]) -> ImportedNotes:
    """Reads a file or, for brat, a folder of .txt and .ann. `names`: our names of source labels. Raises
    UsageError where nothing is in a known format, or a label is neither known nor mapped."""
    found = ImportedNotes()
    for note in _read(source, found.left_out):
        text, entities = note["text"], note["entities"]
        kept = [one for one in (_placed(entity, text, found) for entity in entities) if one is not None]
        for one in kept:
            one["label"] = names.get(one["label"], one["label"])
            found.labels[one["label"]] += 1
        found.notes.append({**note, "entities": sorted(kept, key=lambda e: e["start"])})
    unknown = sorted(set(found.labels) - known)
    if unknown:
        raise UsageError(
            f"unknown labels {', '.join(unknown)}: map them with --map SOURCE=LABEL"
            f" ({', '.join(sorted(known))}), or set NOTEMILL_LABELS_FILE to labels of your own"
        )
    if not found.notes:
        left_out = "".join(f"; left out: {reason}, {count}" for reason, count in found.left_out.items())
        raise UsageError(
            f"{source} holds no annotated note: Label Studio JSON, brat .ann with .txt, or JSONL{left_out}"
        )
    return found


def _read(source: Path, left_out: Counter[str]) -> Iterator[Row]:
    """Notes with entities as they stand; with `document`, the name in the store, where it is given."""
    if source.is_dir():
        for path in sorted(source.glob("*.ann")):  # named as `export --to brat` names them
            text_path = path.with_suffix(".txt")
            if text_path.is_file():
                try:
                    text, annotations = (one.read_bytes().decode("utf-8") for one in (text_path, path))
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
            # What nobody looked at would be learnt as wrong, or as right.
            left_out["a note of which not every mention was looked at"] += 1
        elif isinstance(row.get("text"), str) and isinstance(row.get("entities"), list):
            entities = [dict(one) for one in row["entities"] if isinstance(one, dict)]
            yield _note(
                row["text"], entities, row.get("id") or number, row.get("document") or row.get("external_id")
            )
        else:
            left_out["no text with entities"] += 1


def _note(text: str, entities: list[Entity], number: object, document: object) -> Row:
    note: Row = {"id": str(document or number), "text": text, "entities": entities}
    return note | ({"document": str(document)} if document else {})


def _label_studio(task: Row) -> list[Entity] | None:
    """The last annotation that was not cancelled; None for a task without one."""
    done = [one for one in task.get("annotations") or [] if not one.get("was_cancelled")]
    if not done:
        return None
    by_region: dict[str, Entity] = {}
    for result in done[-1].get("result") or []:
        value = result.get("value") or {}
        # What a script made may have no ids; what is said of one place is then of one region.
        region = by_region.setdefault(str(result.get("id") or (value.get("start"), value.get("end"))), {})
        if value.get("labels"):
            region |= {name: value[name] for name in ("start", "end", "text") if name in value}
            region["label"] = value["labels"][0]
        if value.get("choices"):
            region["assertion"] = str(value["choices"][0]).lower()
    return [one for one in by_region.values() if "label" in one]


def _placed(entity: Entity, text: str, found: ImportedNotes) -> Entity | None:
    """The entity where its offsets say, counted in characters or as JavaScript counts."""
    start, end, said = entity.get("start"), entity.get("end"), entity.get("text")
    if not isinstance(start, int) or not isinstance(end, int) or not isinstance(entity.get("label"), str):
        found.left_out["a mention without start, end or label"] += 1
        return None
    for first, last in ((start, end), (_code_points(text, start), _code_points(text, end))):
        if 0 <= first < last <= len(text) and (said is None or text[first:last] == said):
            return {**entity, "start": first, "end": last, "text": text[first:last]}
    found.left_out["a mention that is not at its place"] += 1
    return None


def _code_points(text: str, units: int) -> int:
    """Offsets in characters; a browser counts a character beyond U+FFFF as two."""
    return len(text.encode("utf-16-le")[: 2 * units].decode("utf-16-le", "ignore"))


def write_notes(notes: list[Row], file: Any) -> None:
    """Writes a note a line, as `train prepare` reads them."""
    for note in notes:
        file.write(json.dumps(note, ensure_ascii=False) + "\n")
