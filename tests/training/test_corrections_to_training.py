"""A correction made in a page becomes a training example, through every real step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tiny import write_tiny_weights
from transformers import AutoTokenizer
from view_notes import ATTACK, WARD

from models.labels import load_labels
from training.data.prepared_folder import read_prepared
from training.examples.task_examples import windows_of
from training.examples.training_sequences import TrainingSequence
from training.finetune.curriculum import Curriculum
from training.finetune.training_recipe import load_recipe
from worker.engine.prompting.chat_template import Chat
from worker.engine.prompting.label_words import tagged_labels
from worker.entities.bio_decoding import decode_mentions

if TYPE_CHECKING:
    from commands import Notemill
    from view_server import View

pytest_plugins = ("commands", "view_server")
PAIN = WARD.index("Pain")
FOUND = {"found_start": PAIN, "found_end": PAIN + 4, "found_label": "problem"}
FIXED = {"start": PAIN, "end": PAIN + len("Pain in the left arm"), "label": "problem", "assertion": "present"}


@pytest.fixture
def corrected(view: View, notemill: Notemill, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The output of `notemill corrections`: in WARD one mention is widened and the others are accepted, in
    ATTACK one mention is rejected."""
    assert view.post("/documents/1/corrections", {"verdict": "fixed", **FOUND, **FIXED})[0] == 200
    assert view.post("/documents/1/corrections", {"verdict": "accept_rest"})[0] == 200
    at = ATTACK.index("Pain")
    place = {"found_start": at, "found_end": at + 4, "start": at, "end": at + 4}
    details = {"found_label": "problem", "label": "problem", "assertion": "present"}
    assert view.post("/documents/2/corrections", {"verdict": "rejected", **place, **details})[0] == 200
    monkeypatch.setenv("NOTEMILL_HOME", str(view.home))
    path = notemill.home / "corrected.jsonl"
    assert notemill("corrections", "--output", path) == 0, notemill.err
    return path


def test_a_correction_in_the_page_becomes_a_training_example(corrected: Path, notemill: Notemill) -> None:
    notes, folder = corrected.with_name("notes.jsonl"), corrected.with_name("prepared")
    assert notemill("annotate", "import", corrected, "--output", notes) == 0, notemill.err
    assert notemill("train", "prepare", notes, "--output", folder, "--validation-share", 0.01) == 0
    prepared = read_prepared(folder)
    chat = Chat(AutoTokenizer.from_pretrained(write_tiny_weights(corrected.with_name("tiny"))))
    recipe = load_recipe("smollm2-135m-further", "smollm2-135m")
    curriculum = Curriculum(prepared.train + prepared.validation, load_labels(None), chat, recipe)
    mentions = {text: trained_on(curriculum.epoch(0), text, chat) for text in (WARD, ATTACK)}
    assert mentions == {
        WARD: [("Pain in the left arm", "problem"), ("fever", "problem"), ("Aspirin", "medication")],
        ATTACK: [],
    }


def test_an_incompletely_reviewed_note_is_not_trained_on(tmp_path: Path, notemill: Notemill) -> None:
    record = {"id": "n", "text": WARD, "entities": [], "is_complete": False}
    (tmp_path / "notes.jsonl").write_text(
        json.dumps(record) + "\n" + json.dumps(record | {"is_complete": True})
    )
    assert notemill("annotate", "import", tmp_path / "notes.jsonl", "--output", tmp_path / "out") == 0
    assert len((tmp_path / "out").read_text().splitlines()) == 1
    assert "left out: a note of which not every mention was looked at, 1" in notemill.out


def trained_on(sequences: list[TrainingSequence], text: str, chat: Chat) -> list[tuple[str, str]]:
    """Decodes the targets of the text's only window to mentions."""
    labels = tagged_labels([label.name for label in load_labels(None)])
    [(start, end)] = windows_of({"text": text}, 1_300)
    window = text[start:end]
    tokens, offsets = chat.plain_with_offsets(window)
    [sequence] = [
        candidate
        for candidate in sequences
        if candidate.kind == "entities" and candidate.tokens[-len(tokens) :] == tokens
    ]
    scores = np.where(sequence.choice_targets[0].is_right, 0.0, -9.0).astype(np.float32)
    # Every tag of an unused label counts as right; leave those tags out.
    scores[sequence.choice_targets[0].is_right.sum(axis=1) > 1, 1:] = -9.0
    return [
        (window[mention.start : mention.end], mention.label)
        for mention in decode_mentions(window, offsets, scores, labels)
    ]
