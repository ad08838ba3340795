"""The prepared folder, which `train prepare` writes and `train finetune` reads.

`train.jsonl` and `validation.jsonl` hold one record a line with its `kind`; `prepared.json` the counts and
the sha256 of both; `trained_on.txt` the digests by which a purge finds the folder. A record holds texts and
annotations; fine-tuning makes the prompts from the worker's templates. The files may hold notes: mode 0600.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from models.errors import UsageError
from models.security.training_provenance import write_trained_on
from training.data.provenance_digests import digests_of

TRAIN, VALIDATION, MANIFEST = "train.jsonl", "validation.jsonl", "prepared.json"
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    """The records of a prepared folder."""

    train: list[Record]
    validation: list[Record]
    sha256: str
    """Digest of both files' contents."""


def write_prepared(
    folder: Path, train: Sequence[Record], validation: Sequence[Record], facts: dict[str, Any]
) -> str:
    """Writes the folder, the manifest last; returns the sha256 of the data."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    write_trained_on(folder, digests_of([*train, *validation]))
    for name, records in ((TRAIN, train), (VALIDATION, validation)):
        with open_private(folder / name) as file:
            for record in records:
                file.write(json.dumps(record, ensure_ascii=False, sort_keys=True) + "\n")
    sha256 = data_sha256(folder)
    with open_private(folder / MANIFEST) as file:
        json.dump({"sha256": sha256, **facts}, file, indent=1, ensure_ascii=False)
    return sha256


def read_prepared(folder: Path) -> Prepared:
    """Reads a prepared folder. Raises UsageError if it has no manifest, or was changed after preparation."""
    if not (folder / MANIFEST).is_file():
        raise UsageError(
            f"{folder} is not a prepared folder: type `notemill train prepare SOURCE -o {folder}`"
        )
    sha256 = data_sha256(folder)
    if json.loads((folder / MANIFEST).read_text("utf-8"))["sha256"] != sha256:
        raise UsageError(f"{folder} was changed after it was prepared: prepare it again")
    return Prepared(_read(folder / TRAIN), _read(folder / VALIDATION), sha256)


def data_sha256(folder: Path) -> str:
    """Digest over both files, names included."""
    whole = hashlib.sha256()
    for name in (TRAIN, VALIDATION):
        with (folder / name).open("rb") as file:
            whole.update(f"{name}:{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()


def open_private(path: Path) -> TextIO:
    """Opens a file for writing, with mode 0600."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")


def _read(path: Path) -> list[Record]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
