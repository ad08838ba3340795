"""Abstractive summaries: the adapter writes them if it was trained to, otherwise the base weights do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny import write_tiny_weights
from transformers import AutoTokenizer

from models.answers import Task
from models.labels import load_labels
from models.settings import Settings
from training.finetune.adapter_card import write_served
from training.finetune.curriculum import Curriculum
from training.finetune.training_recipe import load_recipe
from worker.engine.api import GenerateRequest
from worker.engine.prompting.chat_template import Chat
from worker.note.parsed_note import Note
from worker.summary.summary_task import summarize
from worker.weights.task_config import task_config

LONG = "He takes aspirin every day. He has no fever. " * 30
CONVERSATION = {"kind": "conversation", "turns": [["human", "What is gout?"], ["assistant", "A disease."]]}
SECTION = {
    "kind": "dialogue",
    "dialogue": "Doctor: What do you take? Patient: Aspirin.",
    "section": "MEDICATIONS",
    "section_text": "The patient takes aspirin every day.",
}
ANNOTATED = {
    "kind": "note",
    "corpus": "own",
    "text": "He has gout.",
    "entities": [{"start": 7, "end": 11, "label": "problem"}],
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_weights(tmp_path_factory.mktemp("weights"))


@pytest.mark.parametrize(
    ("records", "tasks"),
    [
        ([CONVERSATION], ["summary"]),
        ([SECTION], ["summary"]),
        ([ANNOTATED], ["entities", "search"]),
        ([ANNOTATED, CONVERSATION], ["entities", "search", "summary"]),
    ],
)
def test_the_training_records_decide_the_tasks_of_the_adapter(
    weights: Path, records: list[dict], tasks: list[str]
) -> None:
    chat = Chat(AutoTokenizer.from_pretrained(weights))
    recipe = load_recipe("smollm2-135m-further", "smollm2-135m")
    assert Curriculum(records, load_labels(None), chat, recipe).tasks == tasks


@pytest.mark.parametrize(("tasks", "uses_adapter"), [(["summary"], True), (["search"], False)])
def test_an_adapter_trained_on_summaries_writes_every_part_of_them(
    tmp_path: Path, tasks: list[str], uses_adapter: bool
) -> None:
    write_served(tmp_path, tasks, [], None)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    config = task_config(Settings(adapter=str(tmp_path), summary_window_tokens=200))
    assert (Task.SUMMARY in config.adapter_tasks) is uses_adapter
    for text in (LONG, "He takes aspirin."):
        note = Note.of(
            text, lambda part: len(part.split()), config.window_tokens, config.summary_window_tokens
        )
        requests = next(summarize(note, 120, config))
        assert requests
        assert all(
            isinstance(request, GenerateRequest) and request.prompt.uses_adapter is uses_adapter
            for request in requests
        )


def test_a_further_trained_adapter_keeps_the_tasks_of_the_first(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    write_served(first, ["entities", "search"], ["problem"], None)
    write_served(second, ["summary"], ["problem", "test"], first)
    assert json.loads((second / "notemill.json").read_text()) == {
        "tasks": ["entities", "search", "summary"],
        "entities_form": "marks",
        "labels": ["problem"],
    }
