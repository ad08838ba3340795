"""`notemill annotate import` reads three formats, writes exact offsets and guesses no position."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from workshop import ROOT

if TYPE_CHECKING:
    from commands import Notemill

pytest_plugins = ("commands",)
TEXT = "He denies chest pain. 😀 Aspirin 81 mg."


def studio(*values: dict, **task: object) -> dict:
    results = [{"id": str(number), "type": "labels", "value": value} for number, value in enumerate(values)]
    return {"data": {"text": TEXT, "document": "n1"}, "annotations": [{"result": results}], **task}


def value(text: str, label: str, move: int = 0) -> dict:
    start = TEXT.index(text) + move
    return {"start": start, "end": start + len(text), "text": text, "labels": [label]}


def imported(notemill: Notemill, source: Path, *more: object) -> list[dict]:
    output = source.parent / "notes-out.jsonl"
    assert notemill("annotate", "import", source, "-o", output, *more) == 0, notemill.err
    return [json.loads(line) for line in output.read_text().splitlines()]


def test_label_studio_regions_become_entities_with_their_assertion(
    tmp_path: Path, notemill: Notemill
) -> None:
    task = studio(value("chest pain", "Finding"))
    task["annotations"][0]["result"].append({"id": "0", "type": "choices", "value": {"choices": ["Negated"]}})
    (tmp_path / "export.json").write_text(json.dumps([task]))
    [note] = imported(notemill, tmp_path / "export.json", "--map", "Finding=problem")
    assert note["id"] == "n1"
    assert note["entities"] == [
        {"start": 10, "end": 20, "text": "chest pain", "label": "problem", "assertion": "negated"}
    ]


def test_regions_without_ids_are_matched_by_their_offsets(tmp_path: Path, notemill: Notemill) -> None:
    task = studio(value("chest pain", "problem"), value("Aspirin", "medication"))
    results = task["annotations"][0]["result"]
    results.append({"type": "choices", "value": {"start": 10, "end": 20, "choices": ["Negated"]}})
    for result in results:
        result.pop("id", None)
    (tmp_path / "export.json").write_text(json.dumps([task]))
    [note] = imported(notemill, tmp_path / "export.json")
    mentions = [(entity["text"], entity.get("assertion")) for entity in note["entities"]]
    assert mentions == [("chest pain", "negated"), ("Aspirin", None)]


def test_offsets_in_utf16_units_are_converted(tmp_path: Path, notemill: Notemill) -> None:
    (tmp_path / "export.json").write_text(json.dumps([studio(value("Aspirin", "medication", move=1))]))
    [note] = imported(notemill, tmp_path / "export.json")
    assert [TEXT[entity["start"] : entity["end"]] for entity in note["entities"]] == ["Aspirin"]


def test_a_mention_whose_text_is_not_at_its_offsets_is_left_out_and_counted(
    tmp_path: Path, notemill: Notemill
) -> None:
    (tmp_path / "export.json").write_text(json.dumps([studio(value("chest pain", "problem", move=-2))]))
    [note] = imported(notemill, tmp_path / "export.json")
    assert note["entities"] == []
    assert "not at its place, 1" in notemill.out


def test_a_task_without_annotation_is_left_out(tmp_path: Path, notemill: Notemill) -> None:
    tasks = [
        studio(value("chest pain", "problem")),
        studio(annotations=[{"was_cancelled": True, "result": []}]),
    ]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    assert len(imported(notemill, tmp_path / "export.json")) == 1
    assert "a task that nobody annotated, 1" in notemill.out


def test_brat_standoff_is_read_with_its_attributes(tmp_path: Path, notemill: Notemill) -> None:
    folder = tmp_path / "brat"
    folder.mkdir()
    (folder / "n1.txt").write_text(TEXT)
    (folder / "n1.ann").write_text(
        "T1\tproblem 10 20\tchest pain\nA1\tNegation T1\nT2\tproblem 3 5;10 20\the chest pain\n"
    )
    [note] = imported(notemill, folder)
    assert [(entity["text"], entity.get("assertion")) for entity in note["entities"]] == [
        ("chest pain", "negated")
    ]
    assert "a discontinuous mention, 1" in notemill.out


def test_notes_in_our_own_format_round_trip(tmp_path: Path, notemill: Notemill) -> None:
    entity = {"start": 10, "end": 20, "text": "chest pain", "label": "problem", "assertion": "negated"}
    (tmp_path / "n.jsonl").write_text(json.dumps({"id": "n1", "text": TEXT, "entities": [entity]}))
    assert imported(notemill, tmp_path / "n.jsonl")[0]["entities"] == [entity]


def test_an_unknown_label_is_an_error_that_says_how_to_map_it(tmp_path: Path, notemill: Notemill) -> None:
    (tmp_path / "export.json").write_text(json.dumps([studio(value("chest pain", "Finding"))]))
    assert notemill("annotate", "import", tmp_path / "export.json", "-o", tmp_path / "out") == 2
    assert "--map SOURCE=LABEL" in notemill.err
    assert notemill("annotate", "import", tmp_path / "export.json", "-o", tmp_path / "out", "--map", "x") == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("share", [0.2])
def test_the_example_of_annotated_notes_can_be_imported_and_prepared(
    tmp_path: Path, notemill: Notemill, share: float
) -> None:
    notes = tmp_path / "notes.jsonl"
    assert notemill("annotate", "import", ROOT / "examples" / "annotated_label_studio.json", "-o", notes) == 0
    assert "left out" not in notemill.out
    facts = notemill.json("train", "prepare", notes, "-o", tmp_path / "out", "--validation-share", share)
    assert facts["kept"] == {"note": 12}
