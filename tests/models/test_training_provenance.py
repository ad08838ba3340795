"""The receipt of a purge names the adapters and folders that were trained on the purged note."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import Notemill
from making import NOTE, documents, submit, work_off
from tiny import write_tiny_weights

from models.corrections import Correction, MentionKey, Verdict
from models.documents import text_sha256
from models.schema.database import connect
from models.settings import load_settings
from models.store.store import Store
from training.data.annotations import import_annotations
from training.finetune.training_recipe import load_recipe

pytest_plugins = ("commands",)
Purge = Callable[[str], dict[str, Any]]
RECIPE = {"row_tokens": 512, "rows_a_step": 1, "epochs": 1, "max_steps": 1}


@pytest.fixture
def corrected(notemill: Notemill) -> Store:
    """Two stored notes; `note-0` has a correction."""
    assert notemill("db", "upgrade") == 0
    store = Store(connect(load_settings().effective_database_url))
    submit(store, documents(NOTE, "Nothing was ever learnt of this."))
    work_off(store, 1)
    pain = MentionKey(0, 4, "problem")
    fix = Correction(verdict=Verdict.ACCEPTED, found=pain, start=0, end=4, label="problem")
    store.correct(text_sha256(NOTE), [fix])
    return store


@pytest.fixture
def purge(notemill: Notemill) -> Purge:
    def receipt(external_id: str) -> dict[str, Any]:
        path = notemill.home / "receipt.json"
        notemill("purge", "--document", external_id, "--yes", "--receipt", path)
        return json.loads(path.read_text())

    return receipt


def trained(notemill: Notemill, folder: Path) -> None:
    """Trains an adapter from corrections with the documented commands, on a tiny network."""
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(load_recipe("mistral-7b-8gb", "", **RECIPE).model_dump()))
    more = ("--recipe", recipe, "--weights", write_tiny_weights(folder / "weights"))
    for command in (
        ("corrections", "--output", folder / "corrected.jsonl"),
        ("annotate", "import", folder / "corrected.jsonl", "-o", folder / "notes.jsonl"),
        ("train", "prepare", folder / "notes.jsonl", "-o", folder / "prepared"),
        ("train", "finetune", "--data", folder / "prepared", "-o", folder / "adapter", *more),
    ):
        assert notemill(*command) == 0, notemill.err


def test_the_receipt_names_the_adapter_and_the_prepared_folder_wherever_they_are(
    notemill: Notemill, corrected: Store, purge: Purge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTEMILL_DEVICE", "cpu")
    trained(notemill, tmp_path)
    empty_receipt, receipt = purge("note-1"), purge("note-0")
    assert empty_receipt["adapters_trained_on_them"] == empty_receipt["prepared_folders_that_hold_them"] == []
    assert receipt["adapters_trained_on_them"] == [str(tmp_path / "adapter")]
    assert receipt["prepared_folders_that_hold_them"] == [str(tmp_path / "prepared")]
    assert NOTE not in (tmp_path / "adapter" / "trained_on.txt").read_text()
    assert "note-0" not in (tmp_path / "adapter" / "trained_on.txt").read_text()


def test_a_note_with_changed_line_ends_is_still_recognised(
    notemill: Notemill, corrected: Store, purge: Purge, tmp_path: Path
) -> None:
    note = {"id": "7", "document": "note-0", "text": NOTE + " \n", "entities": []}
    (tmp_path / "notes.jsonl").write_text(json.dumps(note))
    assert notemill("train", "prepare", tmp_path / "notes.jsonl", "-o", tmp_path / "prepared") == 0
    assert purge("note-0")["prepared_folders_that_hold_them"] == [str(tmp_path / "prepared")]


@pytest.mark.parametrize("form", ["labelstudio", "brat", "jsonl"])
def test_each_annotation_format_keeps_the_documents_name(tmp_path: Path, form: str) -> None:
    data = {"text": "Pain.", "document": "a/b"}
    done: list[dict[str, Any]] = [{"data": data, "annotations": [{"result": []}]}]
    (tmp_path / "labelstudio.json").write_text(json.dumps(done))
    (tmp_path / "own.jsonl").write_text(json.dumps({**data, "entities": []}))
    (tmp_path / "a%2Fb.ann").write_text("")
    (tmp_path / "a%2Fb.txt").write_text("Pain.")
    source = {"labelstudio": tmp_path / "labelstudio.json", "brat": tmp_path, "jsonl": tmp_path / "own.jsonl"}
    [note] = import_annotations(source[form], {}, frozenset()).notes
    assert (note["id"], note["document"]) == ("a/b", "a/b")
