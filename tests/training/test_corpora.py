"""The corpora that come with notemill: annotations fit their texts, and stand-off annotations get theirs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from models.answers import Assertion
from models.errors import UsageError
from training.data import standoff_corpus
from training.evaluation.entity_evaluation import ASSERTED_LABELS
from training.evaluation.records.evaluation_data import CORPUS_FOLDER, file_of, read_records

OWNER_LABEL = {"dosage": "medication", "frequency": "medication", "route": "medication", "value": "test"}
LABELS = {*ASSERTED_LABELS, "anatomy", *OWNER_LABEL}
BUILTIN = [
    record for split in standoff_corpus.SPLITS for record in read_records(CORPUS_FOLDER / f"{split}.jsonl")
]
STANDOFF = [
    json.loads(line)
    for name in standoff_corpus.names()
    for line in (standoff_corpus.FOLDER / f"{name}.jsonl").read_bytes().splitlines()
]


@pytest.mark.parametrize("record", BUILTIN, ids=lambda record: record["id"])
def test_annotated_text_is_that_of_its_offsets(record: dict[str, Any]) -> None:
    text = record["text"]
    assert all(text[entity["start"] : entity["end"]] == entity["text"] for entity in record["entities"])
    spans = [*record["keys"], *(span for query in record["queries"] for span in query["relevant"])]
    assert all(text[start:end].strip() == text[start:end] != "" for start, end in spans)


@pytest.mark.parametrize("record", [*BUILTIN, *STANDOFF], ids=lambda record: record["id"])
def test_every_note_is_annotated_whole(record: dict[str, Any]) -> None:
    entities = record["entities"]
    assert {entity["label"] for entity in entities} <= LABELS
    for entity in entities:
        is_asserted = entity["label"] in ASSERTED_LABELS
        assert (entity.get("assertion") in set(Assertion)) is is_asserted
    for relation in record["relations"]:
        attribute, owner = entities[relation["from"]], entities[relation["to"]]
        assert OWNER_LABEL[attribute["label"]] == owner["label"]
    assert len(record["queries"]) == 7
    assert record["summary"]
    assert record["keys"]


def test_a_note_is_in_one_split() -> None:
    ids = [record["id"] for record in BUILTIN]
    assert len(ids) == len(set(ids))
    assert len({record["text"] for record in BUILTIN}) == len(ids)


def test_no_text_of_the_notes_of_others_is_committed() -> None:
    assert STANDOFF
    assert not any(
        "text" in record or "text" in entity for record in STANDOFF for entity in record["entities"]
    )


def test_builtin_is_the_test_split_unless_another_is_named() -> None:
    assert file_of(Path("builtin")).name == "test.jsonl"
    assert file_of(Path("builtin/dev")).name == "dev.jsonl"


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The text of a corpus of one note."""
    text = "Denies fever."
    row = {
        "id": "n1",
        "split": "dev",
        "text_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "entities": [{"start": 7, "end": 12, "label": "problem", "assertion": "negated"}],
    }
    (tmp_path / "mine.jsonl").write_text(json.dumps(row) + "\n")
    monkeypatch.setattr(standoff_corpus, "FOLDER", tmp_path)
    return text


@pytest.mark.parametrize("field", ["text", "note"])
def test_a_corpus_is_rebuilt_from_its_texts(corpus: str, tmp_path: Path, field: str) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "any.jsonl").write_text(json.dumps({"id": "n1", field: corpus}) + "\n")
    counts = standoff_corpus.rebuild("mine", notes, tmp_path / "built")
    assert counts == {"train": 0, "dev": 1, "test": 0}
    [record] = read_records(tmp_path / "built" / "dev.jsonl")
    assert record["text"] == corpus
    assert record["entities"][0]["text"] == "fever"


@pytest.mark.parametrize(
    ("name", "note", "words"),
    [
        ("other", {"id": "n1", "text": "Denies fever."}, "Corpora: mine"),
        ("mine", {"id": "n2", "text": "Denies fever."}, "lacks 1 of 1 notes"),
        ("mine", {"id": "n1", "text": "Has fever."}, "is not the one that was annotated"),
    ],
)
def test_what_does_not_fit_is_an_error(
    corpus: str, tmp_path: Path, name: str, note: dict[str, str], words: str
) -> None:
    notes = tmp_path / "notes.json"
    notes.write_text(json.dumps(note) + "\n")
    with pytest.raises(UsageError, match=words):
        standoff_corpus.rebuild(name, notes, tmp_path / "built")
