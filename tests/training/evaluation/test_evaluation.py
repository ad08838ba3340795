"""Evaluations through the real pipeline: an always right network scores 1, and reports hold no text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from models.labels import load_labels
from models.settings import Settings
from training.evaluation.evaluate import TASKS, EvaluationPlan, evaluate
from training.evaluation.records.evaluation_data import DataError
from training.finetune.curves import draw_calibration
from worker.engine.api import (
    Choice,
    CompareRequest,
    CompareResult,
    Reply,
    Request,
    RequestError,
    ScoreRequest,
    ScoreResult,
    Scores,
)
from worker.engine.prompting.label_words import ASSERTION_WORDS

pytest_plugins = ("commands",)
TEXT = "He took aspirin 81 mg daily for chest pain. Metoprolol was stopped. No fever."
MENTIONS = {
    "aspirin": "medication",
    "81 mg": "dosage",
    "chest pain": "problem",
    "Metoprolol": "medication",
    "fever": "problem",
}
ENTITIES = [
    {"start": TEXT.index(part), "end": TEXT.index(part) + len(part), "label": label}
    for part, label in MENTIONS.items()
]
RECORD = {
    "id": "n1",
    "text": TEXT,
    "entities": ENTITIES,
    "relations": [{"from": 1, "to": 0, "type": "MODIFY"}],
    "queries": [{"query": "which drug was stopped", "relevant": [[44, 68]]}],
    "summary": "Aspirin 81 mg for chest pain.",
}


class RightEngine:
    """Scores as MENTIONS say, one token per letter; the sentence with `stopped` answers every query."""

    context_tokens = 32_768

    def __init__(self, is_right: bool = True) -> None:
        self.is_right = is_right

    def count_tokens(self, text: str) -> int:
        return len(text)

    def close(self) -> None:
        """There is nothing to close."""

    def answer(self, requests: Sequence[Request], *, is_urgent: bool = False) -> list[Reply]:
        return [
            self._reply(request) if self.is_right else RequestError("too_long", "") for request in requests
        ]

    def _reply(self, request: Request) -> Reply:
        if isinstance(request, CompareRequest):
            return CompareResult((0.0,) * len(request.texts))
        assert isinstance(request, ScoreRequest)
        scores = tuple(_scores(choice, request.copy) for choice in request.choices)
        return ScoreResult(scores, len(request.copy))


def _scores(choice: Choice, copy: str) -> Scores:
    ends = choice.ends or tuple(range(1, len(copy) + 1))
    if choice.ends:
        right = np.array(["stopped" not in copy[end - 12 : end] for end in ends], dtype=int)
    else:
        right = np.zeros(len(ends), dtype=int)
        is_tagging = len(choice.words) > len(ASSERTION_WORDS)
        for mention, name in MENTIONS.items():
            start = copy.find(mention)
            if is_tagging and start >= 0:
                word = 1 + 2 * [label.name for label in load_labels()].index(name)
                right[start : start + len(mention)] = [word] + [word + 1] * (len(mention) - 1)
    scores = np.full((len(ends), len(choice.words)), 0.01, np.float32)
    scores[np.arange(len(ends)), right] = 1.0
    scores = np.log(scores / scores.sum(axis=1, keepdims=True))
    return Scores(tuple((end - 1, end) for end in ends), scores)


@pytest.fixture
def settings() -> Settings:
    """Settings of the embedded default; its weights are not loaded."""
    return Settings()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "dev.jsonl"
    path.write_text(json.dumps(RECORD) + "\n", "utf-8")
    return path


def figures(settings: Settings, data: Path, task: str, engine: RightEngine | None = None, **more):
    plan = EvaluationPlan(task=task, data=data, **more)
    return evaluate(plan, settings, load_engine=lambda *_: engine or RightEngine()).figures


def test_right_tags_give_exact_entities(settings, data):
    scores = figures(settings, data, "entities")
    assert scores["strict"]["f1"] == scores["overlap"]["f1"] == scores["offsets_true"] == 1.0
    assert scores["by_label"]["medication"]["mentions"] == 2
    assert scores["invalid_answers"] == 0


def test_with_a_map_only_the_mapped_labels_count(settings, data):
    scores = figures(settings, data, "entities", map=["medication=medication"])
    assert set(scores["by_label"]) == {"medication"}
    assert scores["strict"]["precision"] == 1.0


def test_a_dosage_is_linked_to_its_medication(settings, data):
    scores = figures(settings, data, "links")
    assert scores["by_label"]["dosage"]["strict"]["f1"] == scores["given"]["overlap"]["recall"] == 1.0


def test_a_search_is_ranked_over_all_sentences_and_cut_at_the_served_threshold(settings, data):
    scores = figures(settings, data, "search", baselines=["bm25"])
    assert scores["map"] == scores["set"]["f1"] == scores["baselines"]["bm25"]["map"] == 1.0
    assert scores["set"]["threshold"] > 0


def test_an_extractive_summary_is_faithful_to_its_note(settings, data):
    scores = figures(settings, data, "summary", baselines=["lead3"])
    assert all(check["share"] == 1.0 for check in scores["faithfulness"].values())
    assert scores["rouge1"] > 0.3
    assert scores["baselines"]["lead3"]["rouge1"] > 0


@pytest.mark.parametrize("task", ["entities", "links", "search", "summary"])
def test_a_failed_answer_is_invalid_and_finds_nothing(settings, data, task):
    assert figures(settings, data, task, RightEngine(is_right=False))["invalid_answers"] == 1


@pytest.mark.parametrize("task", [task for task in TASKS if task != "assertion"])
def test_figures_are_json_and_hold_no_text_of_the_note(settings, data, task):
    report = json.dumps(figures(settings, data, task))
    assert "chest pain" not in report
    assert "stopped" not in report


@pytest.mark.parametrize(
    ("task", "more", "words"),
    [
        ("poetry", {}, "Tasks: entities"),
        ("search", {"baselines": ["lead3"]}, "does not go with --task search"),
        ("summary", {"map": ["a=b"]}, "--map goes with"),
        ("search", {"half": "first"}, "neither odd nor even"),
        ("entities", {"baselines": ["dictionary"]}, "train.jsonl to learn from"),
        ("assertion", {}, "no entity has a polarity"),
    ],
)
def test_an_impossible_plan_is_an_error_that_says_what_to_type(settings, data, task, more, words):
    with pytest.raises(DataError, match=words):
        figures(settings, data, task, **more)


def test_the_command_ends_with_one_json_object_and_writes_a_private_error_page(notemill, tmp_path):
    path, page = tmp_path / "s.jsonl", tmp_path / "errors.html"
    row = {"sentence": "Has no fever.", "start": 7, "end": 12, "negation": "affirmed"}
    path.write_text(json.dumps(row) + "\n", "utf-8")
    command = ["train", "evaluate", "--task", "assertion", "--data", str(path)]
    assert notemill(*command, "--json", "--errors", str(page)) == 0
    assert json.loads(notemill.out.splitlines()[-1])["accuracy"] == 1.0
    assert "No errors" in page.read_text("utf-8")
    assert page.stat().st_mode & 0o777 == 0o600


def test_the_table_names_every_measure_and_its_interval(notemill, tmp_path):
    path = tmp_path / "s.jsonl"
    rows = [
        {"sentence": f"{word} fever.", "start": len(word) + 1, "end": len(word) + 6, "negation": negation}
        for word, negation in (("No", "negated"), ("Has", "affirmed"), ("Denies", "negated"))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert (
        notemill("train", "evaluate", "--task", "assertion", "--data", str(path), "--baseline", "negex") == 0
    )
    assert "negation P R F1" in notemill.out
    assert "1.000 1.000 1.000 [" in notemill.out
    assert "3 records" in notemill.out


def test_a_calibration_plot_is_drawn(settings, data, tmp_path):
    calibration = figures(settings, data, "entities")["calibration"]
    assert sum(count for _, _, count in calibration["bins"]) > 0
    draw_calibration(tmp_path / "honest.png", calibration)
    assert (tmp_path / "honest.png").read_bytes().startswith(b"\x89PNG")


def test_a_calibration_plot_needs_the_task_entities(notemill, tmp_path):
    command = ["train", "evaluate", "--task", "search", "--data", str(tmp_path)]
    assert notemill(*command, "--calibration", str(tmp_path / "x.png")) == 2
    assert "--task entities" in notemill.err
